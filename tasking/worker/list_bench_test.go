package worker_test

import (
	"context"
	"testing"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// BenchmarkTaskLists asks what lists of tasks ask, with 500,000 tasks that have ended, 50 of them on one resource.
func BenchmarkTaskLists(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) { benchmarkTaskLists(b, setup(b, database(b), "")) })
	}
}

func benchmarkTaskLists(b *testing.B, t *bench) {
	b.Helper()
	t.pileRows(250_000)
	reserved := "array['prn:test.repository:' || (seq % 10000)]"
	if t.db.Conn().Kind == sqldialect.SQLite {
		reserved = "json_array('prn:test.repository:' || (seq % 10000))"
	}
	t.exec("DELETE FROM core_taskresource")
	t.exec("UPDATE core_task SET state = 'completed', attempt = 1, started_at = pulp_created, finished_at = pulp_created," +
		" reserved_resources = " + reserved)
	if t.db.Conn().Kind == sqldialect.Postgres {
		t.exec("VACUUM ANALYZE core_task")
	}
	count := func(narrow func(*bun.SelectQuery) *bun.SelectQuery) func(context.Context, *tasking.Queue) error {
		return func(ctx context.Context, q *tasking.Queue) error {
			_, err := narrow(q.DB().Bun().NewSelect().TableExpr("core_task AS t").
				Where("t.pulp_domain_id = ?", q.DB().Domain().ID)).Count(ctx)
			return err
		}
	}
	byResource := func(sel *bun.SelectQuery) *bun.SelectQuery {
		expr, args := inspect.Reserves(t.db, "prn:test.repository:7", "shared:prn:test.repository:7")
		return sel.Where(expr, args...)
	}
	for name, ask := range map[string]func(context.Context, *tasking.Queue) error{
		"count":             count(func(sel *bun.SelectQuery) *bun.SelectQuery { return sel }),
		"count by resource": count(byResource),
		"page": func(ctx context.Context, q *tasking.Queue) error {
			_, err := inspect.List(ctx, q.DB(), func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Limit(100) })
			return err
		},
		"page by resource": func(ctx context.Context, q *tasking.Queue) error {
			_, err := inspect.List(ctx, q.DB(), func(sel *bun.SelectQuery) *bun.SelectQuery { return byResource(sel).Limit(100) })
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(b.Context(), t.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
