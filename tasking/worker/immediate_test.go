package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestImmediateTaskRunsInAnotherWorker ends the first of two workers of a process.
func TestImmediateTaskRunsInAnotherWorker(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		quick := tasking.Define[noArgs]("test.quick")
		opts := func() worker.Options {
			return worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true, Bindings: []tasking.Binding{quick.Bind(
				func(context.Context, *tasking.Env, noArgs) error { return nil })}}
		}
		stop := b.run(opts())
		b.onlyWorker()
		b.run(opts())
		eventually(t, "the second worker", func() bool {
			workers, err := inspect.Workers(t.Context(), b.q.DB())
			return err == nil && len(workers) == 2
		})
		stop()
		eventually(t, "an execution in the dispatch", func() bool {
			ticket, err := quick.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Mode: tasking.PreferImmediate})
			if err != nil {
				t.Fatal(err)
			}
			return b.ranInline(ticket)
		})
	})
}

// offersInline waits until the bench's worker executes immediate tasks in the dispatch.
func (b *bench) offersInline(task *tasking.Task[string]) {
	b.t.Helper()
	eventually(b.t, "an inline execution", func() bool {
		ticket, err := task.Dispatch(b.t.Context(), b.q, "ready?", &tasking.DispatchOptions{Mode: tasking.PreferImmediate})
		if err != nil {
			b.t.Fatal(err)
		}
		return b.ranInline(ticket)
	})
}

// ranInline reports whether a task was executed in its dispatch. It ends a task that was not, for a test that goes on
// looks at all reservations.
func (b *bench) ranInline(ticket *tasking.Ticket) bool {
	b.t.Helper()
	if ticket.State == models.Completed {
		return true
	}
	if _, err := b.q.Cancel(b.t.Context(), ticket.TaskID); err != nil && !errors.Is(err, pulperr.Conflict) {
		b.t.Fatal(err)
	}
	if _, err := b.q.Wait(b.t.Context(), ticket.TaskID); err != nil {
		b.t.Fatal(err)
	}
	return false
}

// TestImmediateTaskWaitsForTheCallersCommit has one dispatched by the queue of a transaction, whose rows nobody else
// sees before the commit.
func TestImmediateTaskWaitsForTheCallersCommit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		quick := tasking.Define[string]("test.quick")
		var ran atomic.Int32
		b.run(worker.Options{Bindings: []tasking.Binding{quick.Bind(
			func(ctx context.Context, env *tasking.Env, word string) error {
				if word == "ready?" {
					return nil
				}
				ran.Add(1)
				return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) })
			})}})
		b.offersInline(quick)
		dispatch := func(outcome error) uuid.UUID {
			var ticket *tasking.Ticket
			err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) (err error) {
				before := ran.Load()
				ticket, err = quick.Dispatch(t.Context(), b.q.In(tx.DB), "x",
					&tasking.DispatchOptions{Mode: tasking.PreferImmediate, Exclusive: tasking.Named("r")})
				if err != nil || ticket.State != models.Waiting || ran.Load() != before {
					t.Fatalf("Dispatch() in a transaction = %+v, %v, after %d runs; want a waiting task", ticket, err, ran.Load()-before)
				}
				return outcome
			})
			if !errors.Is(err, outcome) {
				t.Fatal(err)
			}
			return ticket.TaskID
		}
		lost := dispatch(errFlaky)
		b.wait(dispatch(nil), models.Completed)
		if _, err := b.q.Get(t.Context(), lost); !errors.Is(err, pulperr.NotFound) || ran.Load() != 1 {
			t.Errorf("a task that was rolled back: %v, want NotFound; %d runs of the other one, want 1", err, ran.Load())
		}
		b.noReservations()
	})
}

// TestCallersPatienceStays dispatches and cancels within a transaction whose statements wait for locks as long as the
// caller said.
func TestCallersPatienceStays(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), "")
	err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
		if _, err := tx.Bun().ExecContext(t.Context(), "SET LOCAL lock_timeout = '7s'"); err != nil {
			return err
		}
		q := b.q.In(tx.DB)
		ticket, err := b.block.Dispatch(t.Context(), q, blockArgs{Exclusive: []string{"r"}}, nil)
		if err != nil {
			return err
		}
		if _, err := b.block.Dispatch(t.Context(), b.q.In(tx.DB), blockArgs{Exclusive: []string{"r"}}, nil); err != nil {
			return err
		}
		if _, err := q.Cancel(t.Context(), ticket.TaskID); err != nil {
			return err
		}
		var patience string
		if err := tx.Bun().NewRaw("SHOW lock_timeout").Scan(t.Context(), &patience); err != nil || patience != "7s" {
			t.Errorf("lock_timeout = %q, %v, want the caller's 7s", patience, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// beforeStatement calls a function once before a statement that has a part, when it is armed.
type beforeStatement struct {
	part  string
	call  func()
	armed atomic.Bool
}

func (h *beforeStatement) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.Contains(e.Query, h.part) && h.armed.CompareAndSwap(true, false) {
		h.call()
	}
	return ctx
}

func (h *beforeStatement) AfterQuery(context.Context, *bun.QueryEvent) {}

// TestImmediateTaskIsOvertakenBetweenAttempts has the commit of a dispatch fail as a deadlock does, and somebody
// reserve the resource until the next attempt.
func TestImmediateTaskIsOvertakenBetweenAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), dbtest.RedisURL(t))
	for _, statement := range []string{
		"CREATE SEQUENCE failures", // which no rollback sets back
		`CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('failures') = 1 THEN RAISE 'as in a deadlock' USING ERRCODE = '40P01'; END IF; RETURN NULL;
		END $$`,
		`CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON core_task DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.name = 'test.quick' AND NEW.logging_cid = 'fails') EXECUTE FUNCTION fail_once()`,
	} {
		if _, err := b.db.Conn().Bun.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	own := b.q
	var blocker uuid.UUID
	b.q = b.queueWith(tasking.QueueOptions{RedisURL: b.redisURL})
	lock := &beforeStatement{part: "pg_advisory_xact_lock", call: func() { blocker = b.overtake(own) }}
	b.db.Conn().Bun.AddQueryHook(lock) //nolint:staticcheck // the handle's other copies have to know of it
	quick := tasking.Define[string]("test.quick")
	var ran atomic.Int32
	b.run(worker.Options{Bindings: []tasking.Binding{quick.Bind(
		func(_ context.Context, _ *tasking.Env, word string) error {
			if word == "x" {
				ran.Add(1)
			}
			return nil
		})}})
	b.offersInline(quick)
	arm := sync.OnceFunc(func() { lock.armed.Store(true) })
	worker.SetFault(b.q, func(point string) {
		if point == "dispatch.before_commit" {
			arm() // the commit fails, and the next attempt begins with the lock
		}
	})
	ticket, err := quick.Dispatch(t.Context(), b.q, "x",
		&tasking.DispatchOptions{Mode: tasking.PreferImmediate, Exclusive: tasking.Named("r"), CorrelationID: "fails"})
	if err != nil || blocker == uuid.Nil {
		t.Fatalf("Dispatch() = %v; overtaken by %s", err, blocker)
	}
	if ticket.State != models.Waiting || ran.Load() != 0 {
		t.Errorf("the task is %s and began %d times beside one that has its resource", ticket.State, ran.Load())
	}
	if _, err := b.q.Cancel(t.Context(), blocker); err != nil {
		t.Fatal(err)
	}
	b.wait(ticket.TaskID, models.Completed)
	if ran.Load() != 1 {
		t.Errorf("it began %d times", ran.Load())
	}
}

// overtake stores a task that has the resource and that no worker is new enough for.
func (b *bench) overtake(q *tasking.Queue) uuid.UUID {
	b.t.Helper()
	ticket, err := b.block.Dispatch(b.t.Context(), q, blockArgs{Name: "blocker", Exclusive: []string{"r"}},
		&tasking.DispatchOptions{Versions: map[string]string{"absent": "1"}})
	if err != nil {
		b.t.Error(err)
		return uuid.Nil
	}
	return ticket.TaskID
}
