package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// held is a lock that somebody keeps, and a call that needs it.
type held struct {
	name string
	keep func(context.Context, *bench, *models.Tx) error
	need func(context.Context, *bench) error
}

func locksToHold(t *testing.T, b *bench, nothing *tasking.Task[int]) []held {
	t.Helper()
	members, err := b.q.NewGroup(t.Context(), "held", group.Report{Message: "held", Code: "held"})
	if err != nil {
		t.Fatal(err)
	}
	key := &tasking.DispatchOptions{IdempotencyKey: "held"}
	one := &tasking.DispatchOptions{Exclusive: tasking.Named("held")}
	many := &tasking.DispatchOptions{}
	for i := range 300 {
		many.Exclusive = append(many.Exclusive, tasking.Named(fmt.Sprint("many", i))...)
	}
	return []held{
		{
			"a resource",
			func(ctx context.Context, b *bench, tx *models.Tx) error {
				_, err := nothing.Dispatch(ctx, b.q.In(tx.DB), 0, one)
				return err
			},
			func(ctx context.Context, b *bench) error {
				_, err := nothing.Dispatch(ctx, b.q, 0, one)
				return err
			},
		},
		{
			"an idempotency key",
			func(ctx context.Context, b *bench, tx *models.Tx) error {
				_, err := nothing.Dispatch(ctx, b.q.In(tx.DB), 0, key)
				return errors.Join(err, errUndo)
			},
			func(ctx context.Context, b *bench) error {
				_, err := nothing.Dispatch(ctx, b.q, 0, key)
				return err
			},
		},
		{
			"a group's row",
			func(ctx context.Context, _ *bench, tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("UPDATE core_taskgroup SET description = 'kept'").Exec(ctx)
				return err
			},
			func(ctx context.Context, b *bench) error {
				_, err := nothing.Dispatch(ctx, b.q, 0, &tasking.DispatchOptions{Group: members})
				return err
			},
		},
		{
			"a report's row",
			func(ctx context.Context, _ *bench, tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("UPDATE core_groupprogressreport SET done = 1").Exec(ctx)
				return err
			},
			func(ctx context.Context, _ *bench) error { return members.Progress("held").Add(ctx, 1) },
		},
		{
			"one of very many resources",
			func(ctx context.Context, b *bench, tx *models.Tx) error {
				_, err := nothing.Dispatch(ctx, b.q.In(tx.DB), 0, &tasking.DispatchOptions{Exclusive: many.Exclusive[:1]})
				return err
			},
			func(ctx context.Context, b *bench) error {
				_, err := nothing.Dispatch(ctx, b.q, 0, many)
				return err
			},
		},
	}
}

// heldEnd is a task that ends while somebody has locked its resource.
func heldEnd(b *bench, nothing *tasking.Task[int]) held {
	id := b.dispatch(blockArgs{Name: "ends", Exclusive: []string{"end"}})
	b.begins("ends")
	return held{
		"the resource of a task that ends",
		func(ctx context.Context, b *bench, tx *models.Tx) error {
			_, err := nothing.Dispatch(ctx, b.q.In(tx.DB), 0, &tasking.DispatchOptions{Exclusive: tasking.Named("end")})
			return err
		},
		func(ctx context.Context, b *bench) error {
			b.end("ends", nil)
			_, err := b.q.Wait(ctx, id)
			return err
		},
	}
}

// errUndo rolls back what kept a lock.
var errUndo = errors.New("undo")

// TestHeldLockHoldsUpNobodyElse dispatches and ends tasks on other resources while somebody keeps a lock and somebody
// else waits for it.
func TestHeldLockHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), dbtest.RedisURL(t))
	nothing := tasking.Define[int]("test.nothing")
	b.run(worker.Options{Bindings: []tasking.Binding{
		nothing.Bind(func(context.Context, *tasking.Env, int) error { return nil }),
	}})
	for _, h := range append(locksToHold(t, b, nothing), heldEnd(b, nothing)) {
		t.Run(h.name, func(t *testing.T) {
			release, kept := make(chan struct{}), make(chan struct{})
			done, stuck := make(chan error, 1), make(chan error, 1)
			go func() {
				done <- b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
					err := h.keep(t.Context(), b, tx)
					close(kept)
					<-release
					return err
				})
			}()
			<-kept
			go func() { stuck <- h.need(t.Context(), b) }()
			for i := range 20 {
				name := fmt.Sprint(h.name, i)
				id := b.dispatch(blockArgs{Name: name, Exclusive: []string{name}})
				b.begins(name)
				b.end(name, nil)
				b.wait(id, models.Completed)
			}
			select {
			case err := <-stuck:
				t.Errorf("what needs the lock has ended: %v", err)
			default:
			}
			close(release)
			if err := <-done; err != nil && !errors.Is(err, errUndo) {
				t.Fatal(err)
			}
			if err := <-stuck; err != nil {
				t.Fatal(err)
			}
		})
	}
}
