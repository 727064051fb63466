package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/settings"
)

// benchUnits is how many files of benchSize bytes a benchmark syncs.
const (
	benchUnits = 20_000
	benchSize  = 50
)

func benchBody(i int) string { return fmt.Sprintf("%0*d", benchSize, i) }

// benchUpstream serves benchUnits small files and their manifest.
func benchUpstream(b *testing.B) string {
	b.Helper()
	var list strings.Builder
	for i := range benchUnits {
		sum := sha256.Sum256([]byte(benchBody(i)))
		fmt.Fprintf(&list, "%d/%d.txt,%s,%d\n", i/1000, i, hex.EncodeToString(sum[:]), benchSize)
	}
	manifest := list.String()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if i, err := strconv.Atoi(strings.TrimSuffix(name, ".txt")); err == nil {
			_, _ = w.Write([]byte(benchBody(i)))
			return
		}
		_, _ = w.Write([]byte(manifest))
	}))
	b.Cleanup(srv.Close)
	return srv.URL + "/PULP_MANIFEST"
}

// benchDB returns a new database, with the durability that an installation has.
func benchDB(b *testing.B, name string) string {
	b.Helper()
	if name == "postgres" {
		return dbtest.Postgres(b)
	}
	return "sqlite:" + b.TempDir() + "/pulp.db"
}

// benchApp opens an App with a worker that ends with the benchmark.
func benchApp(b *testing.B, db string) *pulpcore.App {
	b.Helper()
	set, err := quiet(b.TempDir(), settings.Value("DATABASE_URL", db))
	if err != nil {
		b.Fatal(err)
	}
	app, err := pulpcore.Open(b.Context(), set, file.Plugin())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Work(ctx, 2) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		_ = app.Close()
	})
	return app
}

func benchSync(b *testing.B, policy models.Policy) {
	upstream := benchUpstream(b)
	for _, db := range dbtest.URLs(b) {
		b.Run(db.Name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				b.StopTimer()
				app := benchApp(b, benchDB(b, db.Name))
				remote := &file.Remote{Remote: models.Remote{Name: "up", URL: upstream, Policy: policy}}
				repo := &file.Repository{Repository: models.Repository{Name: "repo"}}
				if err := file.Remotes.Create(b.Context(), app.DB(), remote); err != nil {
					b.Fatal(err)
				}
				if err := file.Repositories.Create(b.Context(), app.DB(), repo); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				args := file.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)}
				ticket, err := file.Sync.Dispatch(b.Context(), app.Queue(), args, nil)
				if err != nil {
					b.Fatal(err)
				}
				task, err := app.Queue().Wait(b.Context(), ticket.TaskID)
				if err != nil || task.State != models.Completed {
					b.Fatalf("task is %v: %v", task, err)
				}
				n += benchUnits
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "units/s")
		})
	}
}

// BenchmarkSyncImmediate syncs small files with their bytes. Its raw limits are BenchmarkRawRows and, in package
// storage, the durable write of as many files.
func BenchmarkSyncImmediate(b *testing.B) { benchSync(b, models.Immediate) }

// BenchmarkSyncOnDemand syncs small files without their bytes.
func BenchmarkSyncOnDemand(b *testing.B) { benchSync(b, models.OnDemand) }

// BenchmarkRawRows writes as many rows as a sync of benchUnits does, six for each, by the fastest means the database
// has: COPY into Postgres, one transaction of wide INSERTs into SQLite.
func BenchmarkRawRows(b *testing.B) {
	for _, db := range dbtest.URLs(b) {
		b.Run(db.Name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				b.StopTimer()
				h, err := models.OpenDB(b.Context(), benchDB(b, db.Name), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for table := range 6 {
					if err := rawRows(b.Context(), h, fmt.Sprintf("raw_%d", table)); err != nil {
						b.Fatal(err)
					}
				}
				n += benchUnits
				b.StopTimer()
				_ = h.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "units/s")
		})
	}
}

func rawRows(ctx context.Context, db *models.DB, table string) error {
	_, err := db.Bun().ExecContext(ctx, "CREATE TABLE "+table+" (id VARCHAR(36) PRIMARY KEY, a TEXT UNIQUE, b TEXT, c BIGINT)")
	if err != nil {
		return err
	}
	row := func(i int) []any {
		return []any{models.NewID().String(), fmt.Sprintf("%064d", i), "2026-01-01 00:00:00", int64(i)}
	}
	if pool := db.Conn().Pool(); pool != nil {
		_, err := pool.CopyFrom(ctx, pgx.Identifier{table}, []string{"id", "a", "b", "c"},
			pgx.CopyFromSlice(benchUnits, func(i int) ([]any, error) { return row(i), nil }))
		return err
	}
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		const wide = 500
		for from := 0; from < benchUnits; from += wide {
			var q strings.Builder
			q.WriteString("INSERT INTO " + table + " VALUES ")
			for i := from; i < from+wide; i++ {
				r := row(i)
				fmt.Fprintf(&q, "('%s','%s','%s',%d),", r...)
			}
			if _, err := tx.Bun().ExecContext(ctx, strings.TrimSuffix(q.String(), ",")); err != nil {
				return err
			}
		}
		return nil
	})
}
