package models_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
)

// scale is how many units TestScale works on; docs/benchmarks.md has the figures for a million.
var scale = flag.Int("scale", 20_000, "units of TestScale")

// TestScale asks what clients ask, of a repository with many units, right after they were written: Postgres was last
// told of its tables when they were empty. A plan that reads a table, or that throws away what it read, fails; the
// times are only printed.
func TestScale(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		s := newScaled(t, db, *scale)
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
			watch.Check(t, q.name, q.read)
		}
	})
}

// scaled is a repository with one version of many notes, each with a file at its text.
type scaled struct {
	db      *models.DB
	version *models.RepositoryVersion
}

func newScaled(t *testing.T, db *models.DB, n int) *scaled {
	t.Helper()
	return &scaled{db: db, version: modelstest.FillVersion(t, db, newRepo(t, db).ID, n)}
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
func (s *scaled) watch(ctx context.Context) (context.Context, *modelstest.Plans) {
	w := &modelstest.Plans{DB: s.db}
	s.db.Conn().Bun.AddQueryHook(w) //nolint:staticcheck // the pool of the test alone
	return ctx, w
}
