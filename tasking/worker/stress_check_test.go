package worker_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// watch counts the unfinished tasks for the dispatchers, looks at what must hold at any moment, and sweeps where
// nothing may be to repair.
func (s *stressRun) watch(ctx context.Context) {
	sweep := s.sweeper()
	for ctx.Err() == nil {
		<-time.After(100 * time.Millisecond)
		s.unfinished.Store(s.count(`SELECT count(*) FROM core_task WHERE state IN ('waiting', 'running', 'canceling')`))
		s.never("two granted tasks conflict", `SELECT count(*) FROM core_taskresource a
			JOIN core_taskresource b ON a.rkey = b.rkey AND a.seq < b.seq AND (a.exclusive OR b.exclusive)
			JOIN core_task ta ON ta.pulp_id = a.task_id JOIN core_task tb ON tb.pulp_id = b.task_id
			WHERE ta.unblocked_at IS NOT NULL AND tb.unblocked_at IS NOT NULL`)
		s.never("a running task is nobody's", `SELECT count(*) FROM core_task
			WHERE state IN ('running', 'canceling') AND (worker_id IS NULL OR claim_id IS NULL OR unblocked_at IS NULL)`)
		s.never("a task waits for nothing", `SELECT count(*) FROM core_task t
			WHERE t.state = 'waiting' AND t.unblocked_at IS NULL AND NOT EXISTS (
				SELECT 1 FROM core_taskresource m JOIN core_taskresource o ON o.rkey = m.rkey AND o.seq < m.seq
				WHERE m.task_id = t.pulp_id AND (o.exclusive OR m.exclusive))`)
		s.never("a task has ended and keeps a reservation", `SELECT count(*) FROM core_taskresource r
			JOIN core_task t ON t.pulp_id = r.task_id WHERE t.state NOT IN ('waiting', 'running', 'canceling')`)
		sweep()
	}
}

func (s *stressRun) count(query string, args ...any) int64 {
	s.t.Helper()
	var n int64
	if err := s.db.Bun().NewRaw(query, args...).Scan(context.WithoutCancel(s.t.Context()), &n); err != nil {
		s.t.Errorf("%s: %v", query, err)
	}
	return n
}

func (s *stressRun) never(what, query string) {
	s.t.Helper()
	if n := s.count(query); n > 0 {
		s.t.Errorf("%s: %d times", what, n)
	}
}

// settle waits until every task has ended, as long as there is some progress.
func (s *stressRun) settle() {
	const unfinished = `SELECT count(*) FROM core_task WHERE state IN ('waiting', 'running', 'canceling')`
	last, since := int64(-1), time.Now()
	for {
		n := s.count(unfinished)
		s.unfinished.Store(n)
		switch {
		case n == 0 || s.t.Context().Err() != nil:
			return
		case n != last:
			last, since = n, time.Now()
		case time.Since(since) > stressPatience:
			s.dump()
			s.t.Errorf("%d tasks have not ended and nothing happens for %v", n, stressPatience)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// dump logs what is left: tasks, reservations, workers and what Redis has.
func (s *stressRun) dump() {
	ctx := context.WithoutCancel(s.t.Context())
	for _, query := range []string{
		`SELECT 'task' AS what, * FROM core_task WHERE state IN ('waiting', 'running', 'canceling') ORDER BY seq LIMIT 50`,
		`SELECT 'reservation' AS what, * FROM core_taskresource ORDER BY seq LIMIT 100`,
		`SELECT 'worker' AS what, * FROM core_worker`,
	} {
		var rows []map[string]any
		if err := s.db.Bun().NewRaw(query).Scan(ctx, &rows); err != nil {
			s.t.Log(err)
		}
		for _, row := range rows {
			delete(row, "enc_args")
			s.t.Log(row)
		}
	}
	client := worker.Redis(s.q)
	keys, err := client.Keys(ctx, "*").Result()
	s.t.Log("redis keys", len(keys), err)
	for _, key := range keys[:min(len(keys), 200)] {
		s.t.Log(key, client.LRange(ctx, key, 0, 20).Val(), client.ZRangeWithScores(ctx, key, 0, 20).Val(),
			client.HGet(ctx, key, "state").Val())
	}
	for _, p := range s.processes {
		s.t.Logf("process %s: %s", p.id, p.words.String())
	}
}

// stressRow is a task that has ended.
type stressRow struct {
	models.Task
	Seq int64 `bun:"seq"`
}

// stressMarks are the traces of one task.
type stressMarks struct {
	begins, ends int // in the file
	first, last  time.Time
}

// verify compares the traces of the round with the rows.
func (s *stressRun) verify() {
	s.noReservations()
	marks := s.traces()
	var rows []stressRow
	err := s.db.Bun().NewRaw(`SELECT pulp_id, state, attempt, reserved_resources, error, started_at, finished_at, seq
		FROM core_task ORDER BY seq`).Scan(s.t.Context(), &rows)
	if err != nil {
		s.t.Fatal(err)
	}
	s.total += len(rows)
	if s.outcomes == nil {
		s.outcomes = map[string]int{}
	}
	for _, row := range rows {
		s.verifyRow(&row, marks[row.ID])
	}
	s.verifyOrder(rows, marks)
}

func (s *stressRun) verifyRow(row *stressRow, m *stressMarks) {
	reason := ""
	if row.Error != nil {
		reason = ": " + cmp.Or(row.Error.Reason, row.Error.Description)
	}
	s.outcomes[string(row.State)+reason]++
	if m == nil {
		m = &stressMarks{}
	}
	switch {
	case !row.State.Final():
		s.t.Errorf("task %s is %s", row.ID, row.State)
	case m.begins > 1 || m.ends > 1:
		s.t.Errorf("task %s (%s) began %d times and ended %d times", row.ID, row.State, m.begins, m.ends)
	case row.State == models.Completed && (m.begins != 1 || m.ends != 1 || m.first.IsZero()):
		s.t.Errorf("task %s is completed, but began %d times and ended %d times", row.ID, m.begins, m.ends)
	case row.StartedAt == nil && m.begins > 0:
		s.t.Errorf("task %s (%s%s) ran and was never started", row.ID, row.State, reason)
	case row.Attempt > 1:
		s.t.Errorf("task %s was tried %d times", row.ID, row.Attempt)
	}
}

// verifyOrder looks at the tasks of each resource in the order of their dispatch: none may have begun before those in
// its way had ended, neither by the times of the rows nor by those of the traces that they left in the database.
func (s *stressRun) verifyOrder(rows []stressRow, marks map[uuid.UUID]*stressMarks) {
	type resource struct{ rows, traces, exclusiveRows, exclusiveTraces time.Time } // the latest ends so far
	resources := map[string]*resource{}
	for _, row := range rows {
		if row.StartedAt == nil {
			continue
		}
		m := marks[row.ID]
		for _, name := range row.ReservedResources {
			name, shared := strings.CutPrefix(name, "shared:")
			r := resources[name]
			if r == nil {
				r = &resource{}
				resources[name] = r
			}
			rowsBefore, tracesBefore := r.rows, r.traces
			if shared {
				rowsBefore, tracesBefore = r.exclusiveRows, r.exclusiveTraces
			}
			if row.StartedAt.Before(rowsBefore) {
				s.t.Errorf("task %d (%s) started at %v, before one in its way on %s had ended, at %v",
					row.Seq, row.State, row.StartedAt, name, rowsBefore)
			}
			if m != nil && !m.first.IsZero() && m.first.Before(tracesBefore) {
				s.t.Errorf("task %d (%s) wrote at %v, before one in its way on %s had ended, at %v",
					row.Seq, row.State, m.first, name, tracesBefore)
			}
			r.rows = latest(r.rows, *row.FinishedAt)
			if m != nil {
				r.traces = latest(r.traces, m.last)
			}
			if !shared {
				r.exclusiveRows, r.exclusiveTraces = latest(r.exclusiveRows, *row.FinishedAt), r.traces
			}
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// traces reads those of the round from the file and the database.
func (s *stressRun) traces() map[uuid.UUID]*stressMarks {
	marks := map[uuid.UUID]*stressMarks{}
	of := func(id uuid.UUID) *stressMarks {
		if marks[id] == nil {
			marks[id] = &stressMarks{}
		}
		return marks[id]
	}
	f, err := os.Open(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var what, id string
		var attempt int
		if _, err := fmt.Sscan(lines.Text(), &what, &id, &attempt); err != nil {
			s.t.Errorf("trace %q: %v", lines.Text(), err)
			continue
		}
		if m := of(uuid.MustParse(id)); what == "begin" {
			m.begins++
		} else {
			m.ends++
		}
	}
	var rows []struct {
		ID uuid.UUID `bun:"task_id"`
		At time.Time `bun:"at"`
	}
	if err := s.db.Bun().NewRaw("SELECT task_id, at FROM lab_trace ORDER BY at").Scan(s.t.Context(), &rows); err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rows {
		m := of(row.ID)
		if m.first.IsZero() {
			m.first = row.At
		}
		m.last = row.At
	}
	return marks
}

// forget removes the round, so that memory and disk stay as they are however long the test runs.
func (s *stressRun) forget() {
	for _, table := range []string{"lab_trace", "core_task"} {
		if _, err := s.db.Bun().NewRaw("DELETE FROM " + table).Exec(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Remove(s.log); err != nil {
		s.t.Error(err)
	}
	s.recentMu.Lock()
	defer s.recentMu.Unlock()
	s.recent = [64]uuid.UUID{}
}
