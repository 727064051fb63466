package models_test

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// scale is how many units TestScale works on; docs/benchmarks.md has the figures for a million.
var scale = flag.Int("scale", 20_000, "units of TestScale")

// TestScale asks what clients ask, of a repository with many units, right after they were written: Postgres was last
// told of its tables when they were empty. A plan that reads a table, or that throws away what it read, fails; the times
// are only printed.
func TestScale(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		s := newScaled(t, db, *scale)
		lookup := models.NewLookup(db)
		defer lookup.Close()
		page := []models.Cond{models.OrderBy("-pulp_id"), models.Limit(100)}
		version := append([]models.Cond{models.InVersion(s.version)}, page...)
		middle := fmt.Sprintf("note %d", *scale/2)
		queries := []struct {
			name string
			read int // rows that the answer needs, those passed over included
			ask  func(ctx context.Context) (rows int, err error)
		}{
			{"page of a type", 100, s.list(page...)},
			{"page of a type by offset 10,000", 10_100, s.list(append(page, models.Offset(10_000))...)},
			{"page of a version", 100, s.list(version...)},
			{"page of a version by offset 10,000", 10_100, s.list(append(version, models.Offset(10_000))...)},
			{"page of a version by key", 500, func(ctx context.Context) (int, error) { return s.walk(ctx, 1) }},
			{"unit by its natural key", 1, s.list(append(page, models.Eq("text", middle))...)},
			{"unit of a version by its natural key", 1, s.list(append(version, models.Eq("text", middle))...)},
			{"unit of a version by SQL", 1, s.list(append(version, models.Where("d.text = ?", middle))...)},
			{"count of a version", 1, func(ctx context.Context) (int, error) {
				n, err := notes.Count(ctx, db, models.InVersion(s.version))
				return int(n) / *scale, err
			}},
			{"file of a version", 1, func(ctx context.Context) (int, error) {
				f, err := lookup.File(ctx, &models.Source{
					VersionID: s.version.ID, RepositoryID: s.version.RepositoryID, Number: s.version.Number,
				}, middle)
				if f == nil {
					return 0, err
				}
				return 1, err
			}},
		}
		for _, q := range queries {
			ctx, watch := s.watch(t.Context())
			began := time.Now()
			rows, err := q.ask(ctx)
			took := time.Since(began)
			if err != nil || rows != min(q.read, 100) && q.read != 500 {
				t.Errorf("%s: %d rows, %v", q.name, rows, err)
			}
			t.Logf("%-38s %8.1f ms", q.name, float64(took.Microseconds())/1000)
			watch.check(t, q.name, q.read)
		}
		_, file := models.ContentStatements(db)
		prepared := &watched{db: db, sorts: true, statements: []string{db.Conn().Bun.QueryGen().FormatQuery(file, s.version.RepositoryID,
			s.version.Number, s.version.Number, middle)}} // past bun and its hooks
		prepared.check(t, "file of a version", 1)
	})
}

// scaled is a repository with one version of many notes, each with a file at its text.
type scaled struct {
	db      *models.DB
	version *models.RepositoryVersion
}

func newScaled(t *testing.T, db *models.DB, n int) *scaled {
	t.Helper()
	ctx := t.Context()
	if err := db.Conn().Kind.Analyze(ctx, db.Bun(), "core_content", "test_note_content", "core_contentartifact",
		"core_repositorycontent", "core_artifact"); err != nil {
		t.Fatal(err)
	}
	repo := newRepo(t, db)
	numbers, id := "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?0) ",
		"printf('%08x-0000-7000-8000-000000000000', i.n)"
	if db.Conn().Kind == sqldialect.Postgres {
		numbers = "WITH i(n) AS (SELECT generate_series(1, ?0)) "
		id = "CAST(lpad(to_hex(i.n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid)"
	}
	now := models.Now()
	for _, statement := range []string{
		"INSERT INTO core_content (pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, pulp_type, pulp_labels, " +
			"timestamp_of_interest) " + numbers + "SELECT ?id, ?1, ?1, ?2, 'test.note', '{}', ?1 FROM i",
		"INSERT INTO test_note_content (pulp_id, pulp_domain_id, text) " + numbers +
			"SELECT ?id, ?2, 'note ' || i.n FROM i",
		"INSERT INTO core_contentartifact (pulp_id, pulp_created, pulp_last_updated, content_id, relative_path) " +
			numbers + "SELECT ?id, ?1, ?1, ?id, 'note ' || i.n FROM i",
		"INSERT INTO core_repositorycontent (repository_id, content_id, version_added) " + numbers +
			"SELECT ?3, ?id, 1 FROM i",
	} {
		err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
			_, err := tx.Bun().ExecContext(ctx, strings.ReplaceAll(statement, "?id", id), n, now, db.Domain().ID, repo.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	v := &models.RepositoryVersion{RepositoryID: repo.ID, Number: 1, Complete: true}
	v.ID, v.Created, v.Updated, v.Info = models.NewID(), now, now, map[string]any{}
	if _, err := db.Bun().NewInsert().Model(v).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := db.Bun().ExecContext(ctx, `INSERT INTO core_repositoryversioncount (version_id, pulp_type, added, removed, present)
		VALUES (?, 'test.note', ?, 0, ?)`, v.ID, n, n)
	if err != nil {
		t.Fatal(err)
	}
	return &scaled{db: db, version: v}
}

func (s *scaled) list(where ...models.Cond) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		rows, err := notes.List(ctx, s.db, where...)
		return len(rows), err
	}
}

// walk reads pages of all members in key order.
func (s *scaled) walk(ctx context.Context, pages int) (int, error) {
	n := 0
	for _, err := range notes.All(ctx, s.db, models.InVersion(s.version)) {
		if err != nil {
			return n, err
		}
		if n++; n == pages*500 {
			return n, nil
		}
	}
	return n, nil
}

// watch records the statements that are run with the context.
func (s *scaled) watch(ctx context.Context) (context.Context, *watched) {
	w := &watched{db: s.db}
	s.db.Conn().Bun.AddQueryHook(w) //nolint:staticcheck // the pool of the test alone
	return ctx, w
}

type watched struct {
	db         *models.DB
	done       bool
	sorts      bool // what was looked up may be sorted
	statements []string
}

// BeforeQuery is of bun.QueryHook.
func (w *watched) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if !w.done && strings.HasPrefix(e.Query, "SELECT") {
		w.statements = append(w.statements, e.Query)
	}
	return ctx
}

// AfterQuery is of bun.QueryHook.
func (*watched) AfterQuery(context.Context, *bun.QueryEvent) {}

var (
	sqliteScan  = regexp.MustCompile(`SCAN (m|d|rc|ca|x|p|v|core_\w+)\b`)
	sqliteSort  = regexp.MustCompile(`TEMP B-TREE FOR ORDER BY`)
	rowsRemoved = regexp.MustCompile(`Rows Removed by (?:\w+ )?Filter: (\d+)`)
	actualRows  = regexp.MustCompile(`actual time=\S+ rows=(\d+) loops=(\d+)`)
)

// check explains what was run.
func (w *watched) check(t *testing.T, name string, read int) {
	t.Helper()
	w.done = true
	for _, statement := range w.statements {
		explain := "EXPLAIN ANALYZE "
		if w.db.Conn().Kind == sqldialect.SQLite {
			explain = "EXPLAIN QUERY PLAN "
		}
		plan := w.explain(t, explain+statement)
		bad := sqliteScan.FindString(plan)
		if bad == "" && !w.sorts {
			bad = sqliteSort.FindString(plan)
		}
		for _, m := range rowsRemoved.FindAllStringSubmatch(plan, -1) {
			if atoi(m[1]) > read {
				bad = m[0]
			}
		}
		for _, m := range actualRows.FindAllStringSubmatch(plan, -1) {
			if atoi(m[1])*atoi(m[2]) > 2*read+10 {
				bad = m[0]
			}
		}
		if bad != "" {
			t.Errorf("%s: the plan has %q\n%s\n%s", name, bad, statement, plan)
		}
	}
}

func (w *watched) explain(t *testing.T, statement string) string {
	t.Helper()
	rows, err := w.db.Conn().Bun.DB.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		line := make([]any, len(columns))
		for i := range line {
			line[i] = new(string)
		}
		if err := rows.Scan(line...); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(*line[len(line)-1].(*string) + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func atoi(text string) int {
	n := 0
	for _, r := range text {
		n = n*10 + int(r-'0')
	}
	return n
}
