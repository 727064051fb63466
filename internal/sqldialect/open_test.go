package sqldialect_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// each runs fn on an open, empty database of each kind.
func each(t *testing.T, fn func(t *testing.T, c *sqldialect.Conn)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, open(t, url))
	})
}

func open(t testing.TB, url string) *sqldialect.Conn {
	t.Helper()
	c, err := sqldialect.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func exec(t *testing.T, db bun.IDB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, url string
		kind      pulperr.Kind
	}{
		{"another database", "mysql://host/db", pulperr.Invalid},
		{"no scheme", "/var/lib/pulp.db", pulperr.Invalid},
		{"nothing", "", pulperr.Invalid},
		{"sqlite without a file", "sqlite:", pulperr.Invalid},
		{"sqlite parameters that cannot be read", "sqlite:" + file + "?%zz", pulperr.Invalid},
		{"a folder that is a file", "sqlite:" + file + "/x.db", pulperr.Unavailable},
		{"a postgres URL that cannot be read", "postgres://u:hunter2@host:port/", pulperr.Invalid},
		{"a postgres that does not answer", "postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=2", pulperr.Unavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := sqldialect.Open(t.Context(), test.url)
			if c != nil || pulperr.KindOf(err) != test.kind {
				t.Fatalf("Open = %v, %v, want kind %v", c, err, test.kind)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestOpenSQLitePaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"new/folder/x.db", "a b.db", "50%.db", "q#x.db"} {
		path := filepath.Join(t.TempDir(), name)
		c := open(t, "sqlite:"+path+"?_pragma=cache_size(-1000)")
		exec(t, c.Bun, "CREATE TABLE t (id INTEGER)")
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the database is not at its path: %v", err)
		}
		var mode, keys string
		err := errors.Join(c.Bun.QueryRow("PRAGMA journal_mode").Scan(&mode),
			c.Bun.QueryRow("PRAGMA foreign_keys").Scan(&keys))
		if err != nil || mode != "wal" || keys != "1" {
			t.Errorf("journal_mode = %s, foreign_keys = %s, %v", mode, keys, err)
		}
		if c.Pool() != nil {
			t.Error("a SQLite connection has a Postgres pool")
		}
	}
}

func TestTimesAreUTC(t *testing.T) {
	each(t, func(t *testing.T, c *sqldialect.Conn) {
		exec(t, c.Bun, "CREATE TABLE t (at "+c.Kind.TemplateData()["time"].(string)+")")
		want := time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.FixedZone("X", 2*3600))
		if _, err := c.Bun.NewRaw("INSERT INTO t VALUES (?)", want).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got time.Time
		if err := c.Bun.NewRaw("SELECT at FROM t").Scan(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		if !got.Equal(want) || got.Location() != time.UTC {
			t.Fatalf("time = %v, want %v", got, want.UTC())
		}
	})
}

func TestErrorClasses(t *testing.T) {
	each(t, func(t *testing.T, c *sqldialect.Conn) {
		exec(t, c.Bun, "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
			"CREATE TABLE child (id INTEGER REFERENCES parent ON DELETE RESTRICT, late INTEGER "+
				"REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
			"INSERT INTO parent VALUES (1, 'a')", "INSERT INTO child VALUES (1, 1)")
		classes := map[string]func(error) bool{
			"unique": sqldialect.IsUniqueViolation, "referenced": sqldialect.IsReferenced,
			"retryable": sqldialect.IsRetryable, "undefined": sqldialect.IsUndefinedTable,
		}
		for statement, want := range map[string]string{
			"INSERT INTO parent VALUES (1, 'b')":    "unique",
			"INSERT INTO parent VALUES (2, 'a')":    "unique",
			"DELETE FROM parent WHERE id = 1":       "referenced",
			"INSERT INTO child VALUES (9, 1)":       "referenced",
			"INSERT INTO child VALUES (1, 9)":       "referenced", // at the end of the transaction
			"SELECT * FROM elsewhere":               "undefined",
			"SELECT * FROM parent WHERE nonsense=1": "",
			"SELEKT":                                "",
		} {
			_, err := c.Bun.ExecContext(t.Context(), statement)
			if err == nil {
				t.Fatalf("%s succeeded", statement)
			}
			for name, is := range classes {
				if is(err) != (name == want) {
					t.Errorf("%s: %v is %s: %v", statement, err, name, is(err))
				}
			}
		}
		for name, is := range classes {
			if is(nil) || is(context.Canceled) {
				t.Errorf("an error that is none of the database's is %s", name)
			}
		}
	})
}

// Two processes that write to one SQLite file: the second is told that it may try again.
func TestSQLiteBusyIsRetryable(t *testing.T) {
	t.Parallel()
	url := dbtest.SQLite(t) + "&_pragma=busy_timeout(20)"
	first, second := open(t, url), open(t, url)
	exec(t, first.Bun, "CREATE TABLE t (id INTEGER)")
	tx, err := first.Bun.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	_, err = second.Bun.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	if !sqldialect.IsRetryable(err) {
		t.Fatalf("error = %v, want a retryable one", err)
	}
}

// Of two transactions that lock two rows in opposite order, Postgres ends one, which may try again.
func TestPostgresDeadlockIsRetryable(t *testing.T) {
	t.Parallel()
	c := open(t, dbtest.Postgres(t))
	exec(t, c.Bun, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
	var both sync.WaitGroup
	both.Add(2)
	errs := make(chan error)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		go func() {
			errs <- c.Bun.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewRaw("UPDATE t SET id = id WHERE id = ?", order[0]).Exec(ctx)
				both.Done()
				both.Wait()
				if err == nil {
					_, err = tx.NewRaw("UPDATE t SET id = id WHERE id = ?", order[1]).Exec(ctx)
				}
				return err
			})
		}()
	}
	err := errors.Join(<-errs, <-errs)
	if !sqldialect.IsRetryable(err) {
		t.Fatalf("error = %v, want a retryable one", err)
	}
}

func TestLockWriter(t *testing.T) {
	each(t, func(t *testing.T, c *sqldialect.Conn) {
		unlock, err := c.LockWriter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		cancel(cause)
		second, err := c.LockWriter(ctx)
		if c.Kind == sqldialect.Postgres {
			if err != nil {
				t.Fatalf("LockWriter = %v; Postgres has many writers", err)
			}
			second()
		} else if !errors.Is(err, cause) {
			t.Fatalf("LockWriter while it is held = %v, want %v", err, cause)
		}
		unlock()
		again, err := c.LockWriter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again()
	})
}

// While one transaction migrates, another waits.
func TestLockMigrations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		first, second := open(t, url), open(t, url)
		exec(t, first.Bun, "CREATE TABLE t (id INTEGER)")
		locked, done := make(chan struct{}), make(chan error)
		go func() {
			<-locked
			done <- second.Bun.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if err := sqldialect.LockMigrations(ctx, second.Kind, tx); err != nil {
					return err
				}
				var n int
				if err := tx.NewRaw("SELECT COUNT(*) FROM t").Scan(ctx, &n); err != nil {
					return err
				}
				if n != 1 {
					return errors.New("the second did not wait for the first")
				}
				return nil
			})
		}()
		err := first.Bun.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if err := sqldialect.LockMigrations(ctx, first.Kind, tx); err != nil {
				return err
			}
			close(locked)
			_, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			return err
		})
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
	})
}

// A commit on SQLite is durable unless the URL says otherwise; who writes files according to rows relies on it.
func TestSQLiteIsDurable(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]int{"": 2, "?_pragma=synchronous(NORMAL)": 1} {
		c := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db")+params)
		var got int
		if err := c.Bun.NewRaw("PRAGMA synchronous").Scan(t.Context(), &got); err != nil || got != want {
			t.Errorf("%q: synchronous = %d, %v, want %d", params, got, err, want)
		}
	}
}

// Who waits for a connection of a pool that is all taken gets an answer that says so.
func TestBusyPool(t *testing.T) {
	t.Parallel()
	url := dbtest.Postgres(t)
	c := open(t, url+"&pool_max_conns=1")
	c.SetAcquireTimeout(10 * time.Millisecond)
	tx, err := c.Bun.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Bun.ExecContext(t.Context(), "SELECT 1")
	if !errors.Is(err, pulperr.Unavailable) || !strings.Contains(pulperr.Message(err), "pool_max_conns") {
		t.Errorf("error = %v, want Unavailable that names pool_max_conns", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	c.SetAcquireTimeout(time.Minute)
	exec(t, c.Bun, "SELECT 1")
}
