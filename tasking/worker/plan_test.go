package worker_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/schedule"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// recorder keeps the statements that a database is sent while it is on.
type recorder struct {
	mu         sync.Mutex
	on         bool
	settings   string // of the transaction
	statements []recorded
}

// recorded is a statement with the settings of the planner that it ran with.
type recorded struct{ settings, statement string }

func (r *recorder) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.on:
	case e.Query == "BEGIN", strings.HasPrefix(e.Query, "BEGIN "):
		r.settings = ""
	case strings.HasPrefix(e.Query, "SET LOCAL enable_"):
		r.settings = e.Query
	case strings.Contains(e.Query, "SELECT count(*)"): // now and then, of the tasks in an index
	case strings.Contains(e.Query, "core_task ") || strings.Contains(e.Query, "core_taskres") ||
		strings.Contains(e.Query, "core_tasksch"):
		r.statements = append(r.statements, recorded{r.settings, e.Query})
	}
	return ctx
}

func (r *recorder) AfterQuery(context.Context, *bun.QueryEvent) {}

// record returns the statements about tasks, reservations and schedules that fn sends.
func (r *recorder) record(fn func()) []recorded {
	r.mu.Lock()
	r.on, r.settings, r.statements = true, "", nil
	r.mu.Unlock()
	fn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	return r.statements
}

// TestPeriodicStatementsUseIndexes has very many ready and blocked tasks and looks at the plans of what workers ask the
// database all the time. None of it may read more than a page of rows for nothing.
func TestPeriodicStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		b.pileRows(n)
		r := &recorder{}
		b.db.Conn().Bun.AddQueryHook(r) //nolint:staticcheck // the handle's other copies have to know of it
		w := b.worker(worker.Options{})
		b.lookAtPlans(r, w) // of a planner that knows nothing of the tables
		b.exec("ANALYZE")
		b.lookAtPlans(r, w)
		b.exec("DELETE FROM core_taskschedule")
		b.exec("DELETE FROM core_taskresource")
		b.exec("DELETE FROM core_task")
	})
}

// TestListsOfTasksUseIndexes has very many tasks that have ended, and looks for the first page of them and for those
// on one resource.
func TestListsOfTasksUseIndexes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		b.pileRows(10_000)
		b.exec("DELETE FROM core_taskresource")
		reserved := "ARRAY['prn:test.repository:' || (seq % 1000)]"
		if b.db.Conn().Kind == sqldialect.SQLite {
			reserved = "json_array('prn:test.repository:' || (seq % 1000))"
		}
		b.exec("UPDATE core_task SET state = 'completed', attempt = 1, started_at = pulp_created, finished_at = pulp_created," +
			" reserved_resources = " + reserved)
		b.exec("ANALYZE")
		r := &recorder{}
		b.db.Conn().Bun.AddQueryHook(r) //nolint:staticcheck // the handle's other copies have to know of it
		list := func(narrow func(*bun.SelectQuery) *bun.SelectQuery) (n int) {
			statements := r.record(func() {
				tasks, err := inspect.List(t.Context(), b.q.DB(), narrow)
				if err != nil {
					t.Fatal(err)
				}
				n = len(tasks)
			})
			for _, s := range statements {
				if fault := b.planFault(s); fault != "" {
					t.Error(fault)
				}
			}
			return n
		}
		if n := list(func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Limit(100) }); n != 100 {
			t.Errorf("a page has %d tasks", n)
		}
		if b.db.Conn().Kind == sqldialect.SQLite { // which reads the texts of all tasks
			return
		}
		expr, args := inspect.Reserves(b.db, "prn:test.repository:7", "shared:prn:test.repository:7")
		if n := list(func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where(expr, args...) }); n != 20 {
			t.Errorf("%d tasks are on the resource, want 20", n)
		}
	})
}

// lookAtPlans does once what workers do all the time and reports statements with bad plans.
func (b *bench) lookAtPlans(r *recorder, w *worker.Worker) {
	b.t.Helper()
	if err := worker.RedeliverAll(b.t.Context(), b.q); err != nil {
		b.t.Fatal(err)
	}
	relay := func(ctx context.Context) error { return worker.Relay(ctx, w) }
	for _, look := range []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"nothing due", func(ctx context.Context) error { return worker.RelayDue(ctx, w) }},
		{"sweep", func(ctx context.Context) error { return worker.Sweep(ctx, w) }},
		{"agenda", func(ctx context.Context) error { return worker.ReadAgenda(ctx, b.q) }},
		{"unattended", func(ctx context.Context) error { return worker.ReadUnattended(ctx, w) }},
		{"ready", func(ctx context.Context) error { return worker.ReadReady(ctx, w) }},
		{"schedules", func(ctx context.Context) error { _, err := schedule.DispatchDue(ctx, b.q); return err }},
		{"redelivery", func(ctx context.Context) error {
			_, err := worker.RedeliverPage(ctx, w)
			b.exec("UPDATE core_taskingmeta SET value = '' WHERE key = 'redelivery'") // one page is enough
			return err
		}},
		{"relay, many due", relay},
	} {
		statements := r.record(func() {
			if err := look.call(b.t.Context()); err != nil {
				b.t.Errorf("%s: %v", look.name, err)
			}
		})
		if len(statements) == 0 {
			b.t.Errorf("%s: no statement", look.name)
		}
		const perKind = 3 // of statements that begin alike
		kinds := map[string]int{}
		for _, s := range statements {
			kind := s.statement[:min(len(s.statement), 40)]
			if kinds[kind]++; kinds[kind] > perKind {
				continue
			}
			if fault := b.planFault(s); fault != "" {
				b.t.Errorf("%s: %s", look.name, fault)
			}
		}
	}
}

// pileRows stores n tasks that are ready and were delivered, n that wait for one resource, and n/100 schedules that are
// not due.
func (b *bench) pileRows(n int) {
	b.t.Helper()
	series := "generate_series(1, ?count) AS s(i)"
	keys, own, id, noJSON := "ARRAY[i, -1]", ", rexcl", "gen_random_uuid()", "'{}'"
	exclusive := ", ARRAY[TRUE, i > ?ready]"
	resources := `SELECT m.k, m.x, t.seq, t.pulp_id FROM core_task t CROSS JOIN LATERAL unnest(t.rkeys, t.rexcl) m(k, x)`
	if b.db.Conn().Kind == sqldialect.SQLite {
		series = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?count) SELECT i FROM n) AS s"
		keys = "json_array(json_array(i, json('true')), json_array(-1, json(iif(i > ?ready, 'true', 'false'))))"
		own, exclusive, noJSON = "", "", "'[]'"
		id = "lower(printf('%08x-0000-7000-8000-%012x', i, i))"
		resources = `SELECT json_extract(m.value, '$[0]'), json_extract(m.value, '$[1]'), t.seq, t.pulp_id
			FROM core_task t CROSS JOIN json_each(t.rkeys) m`
	}
	moment := "CAST(? AS TIMESTAMPTZ)"
	if b.db.Conn().Kind == sqldialect.SQLite {
		moment = "?"
	}
	args := sqldialect.Named{
		"ready": n, "count": 2 * n, "domain": b.db.Domain().ID, "now": bun.SafeQuery(moment, models.Now()),
		"later": bun.SafeQuery(moment, models.Now().AddDate(1, 0, 0)),
	}
	for _, statement := range []string{
		`INSERT INTO core_task (seq, pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, logging_cid,
			reserved_resources, rkeys` + own + `, queue, unblocked_at, deliver_due, attempt)
		SELECT i, ` + id + `, ?now, ?now, ?domain, 'test.piled', 'waiting', 'cid', ` + noJSON + `, ` + keys + exclusive + `,
			'default', CASE WHEN i <= ?ready THEN ?now END, CASE WHEN i <= ?ready THEN ?later END, 0 FROM ` + series,
		`INSERT INTO core_taskresource (rkey, exclusive, seq, task_id) ` + resources,
		`INSERT INTO core_taskschedule (pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, task_name,
			dispatch_interval_ms, next_dispatch)
		SELECT ` + id + `, ?now, ?now, ?domain, CAST(i AS TEXT), 'test.piled', 60000, ?later FROM ` + series + `
		WHERE i <= ?ready / 100`,
	} {
		b.exec(statement, args)
	}
}

var (
	touchedRows = regexp.MustCompile(`(?:actual rows=|Rows Removed by Filter: |Rows Removed by Join Filter: )(\d+)`)
	wholeTable  = regexp.MustCompile(`(?m)SCAN core_task\w*$`)
)

// most is how many rows one step of a plan may touch: a page, and what older versions of its rows are left.
const most = 5000

// planFault says what is wrong with the plan of a statement, or returns "".
func (b *bench) planFault(r recorded) string {
	b.t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if b.db.Conn().Kind == sqldialect.Postgres {
		explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) "
	}
	tx, err := b.db.Conn().Bun.BeginTx(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if r.settings != "" {
		if _, err := tx.ExecContext(b.t.Context(), r.settings); err != nil {
			b.t.Fatal(err)
		}
	}
	rows, err := tx.QueryContext(b.t.Context(), explain+r.statement)
	if err != nil {
		return err.Error() + "\n" + r.statement
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		var id, parent, unused int
		if explain == "EXPLAIN QUERY PLAN " {
			err = rows.Scan(&id, &parent, &unused, &line)
		} else {
			err = rows.Scan(&line)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		lines = append(lines, line)
	}
	plan := strings.Join(lines, "\n")
	fault := rows.Err() != nil || strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") || wholeTable.MatchString(plan)
	for _, m := range touchedRows.FindAllStringSubmatch(plan, -1) {
		if n, err := strconv.Atoi(m[1]); err != nil || n > most {
			fault = true
		}
	}
	if fault {
		const much = 3000 // without thousands of ids
		return r.statement[:min(len(r.statement), much)] + "\n" + plan[:min(len(plan), much)]
	}
	return ""
}
