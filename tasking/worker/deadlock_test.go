package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestWaitRefusesCycles has a task that reserves x wait for the last of the tasks that it dispatches.
func TestWaitRefusesCycles(t *testing.T) {
	t.Parallel()
	type spec struct{ exclusive, shared []string }
	many := make([]spec, 0, 700)
	for i := range 600 {
		many = append(many, spec{shared: []string{"y"}, exclusive: []string{fmt.Sprint("own", i)}})
	}
	for name, tt := range map[string]struct {
		dispatched []spec
		domain     bool // the first of them reserves the domain
		refused    bool
	}{
		"directly":                {[]spec{{exclusive: []string{"x"}}}, false, true},
		"over one":                {[]spec{{exclusive: []string{"x", "y"}}, {exclusive: []string{"y"}}}, false, true},
		"over one that shares":    {[]spec{{shared: []string{"x", "y"}}, {exclusive: []string{"y"}}}, false, true},
		"over a domain":           {[]spec{{}, {exclusive: []string{"y"}}}, true, true},
		"over others' resources":  {[]spec{{exclusive: []string{"x", "z"}}, {shared: []string{"z", "y"}}, {exclusive: []string{"y"}}}, false, true},
		"over the last of many":   {append(many[:600:600], spec{shared: []string{"y"}, exclusive: []string{"x"}}, spec{exclusive: []string{"y"}}), false, true},
		"not, as all share":       {[]spec{{shared: []string{"y"}, exclusive: []string{"x"}}, {shared: []string{"y"}}}, false, false},
		"not, as it comes behind": {[]spec{{exclusive: []string{"y"}}, {exclusive: []string{"y"}}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, b *bench) {
				parent := tasking.Define[noArgs]("test.parent")
				waited := make(chan error, 1)
				w := b.worker(worker.Options{Bindings: []tasking.Binding{parent.Bind(
					func(ctx context.Context, env *tasking.Env, _ noArgs) error {
						var last uuid.UUID
						for i, s := range tt.dispatched {
							a := blockArgs{Name: fmt.Sprint(i), Exclusive: s.exclusive, Shared: s.shared}
							if tt.domain && i == 0 {
								a.Exclusive = []string{models.CorePRN("domain", b.db.Domain().ID)}
							}
							last = b.dispatch(a)
						}
						patience := 20 * time.Second
						if !tt.refused { // nothing runs beside this task
							patience = 300 * time.Millisecond
						}
						ctx, cancel := context.WithTimeout(ctx, patience)
						defer cancel()
						_, err := env.Queue.Wait(ctx, last)
						waited <- err
						b.exec("DELETE FROM core_taskresource WHERE task_id <> ?", env.Task.ID)
						b.exec("DELETE FROM core_task WHERE pulp_id <> ?", env.Task.ID)
						return nil
					})}})
				if _, err := parent.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("x")}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if err := w.RunPending(ctx); err != nil {
					t.Error(err)
				}
				if err := <-waited; errors.Is(err, pulperr.Conflict) != tt.refused {
					t.Errorf("Wait() = %v, want a conflict: %t", err, tt.refused)
				}
			})
		})
	}
}

func TestTaskCannotWaitForItself(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		narcissus := tasking.Define[noArgs]("test.narcissus")
		var waited error
		w := b.worker(worker.Options{Bindings: []tasking.Binding{narcissus.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				_, waited = env.Queue.Wait(ctx, env.Task.ID)
				return nil
			})}})
		ticket, err := narcissus.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Completed)
		if !errors.Is(waited, pulperr.Conflict) {
			t.Errorf("Wait() = %v, want Conflict", waited)
		}
	})
}

// TestWaitRefusesCyclesOfThoseThatWait has a task wait for one that waits for a third one, which needs what the first
// one has. Whichever of the two waits last is refused.
func TestWaitRefusesCyclesOfThoseThatWait(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		parent, child := tasking.Define[noArgs]("test.parent"), tasking.Define[noArgs]("test.child")
		refused := make(chan error, 2)
		wait := func(ctx context.Context, q *tasking.Queue, id uuid.UUID) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			_, err := q.Wait(ctx, id)
			if err != nil {
				refused <- err
			}
			return err
		}
		b.run(worker.Options{Bindings: []tasking.Binding{
			parent.Bind(func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				ticket, err := child.Dispatch(ctx, env.Queue, noArgs{}, nil)
				if err != nil {
					return err
				}
				return wait(ctx, env.Queue, ticket.TaskID)
			}),
			child.Bind(func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				b.end("grandchild", nil)
				return wait(ctx, env.Queue, b.dispatch(blockArgs{Name: "grandchild", Exclusive: []string{"x"}}))
			}),
		}})
		if _, err := parent.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("x")}); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; !errors.Is(err, pulperr.Conflict) {
			t.Errorf("Wait() = %v, want Conflict", err)
		}
	})
}
