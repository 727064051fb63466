package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestFaultF1AndF2DispatcherIsKilled(t *testing.T) {
	t.Parallel()
	for point, arrives := range map[string]bool{"F1 dispatch.before_commit": false, "F2 dispatch.committed": true} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			_, point, _ := strings.Cut(point, " ")
			both(t, func(t *testing.T, dbURL, redisURL string) {
				l := newLab(t, dbURL, redisURL)
				l.work(worker.Options{})
				l.wait(l.send(labArgs{Name: "first"}), models.Completed) // so that Redis is known
				a := holding("x", "")
				p := l.start(labConfig{Kind: worker.KindAPI, Slots: -1, Dispatch: &a, Fault: point})
				l.says(p.id + ".fault")
				p.kill()
				began := time.Now()
				if arrives {
					eventually(t, "the task", func() bool { return l.lines("end", "x") == 1 })
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("begun after %v, want 4 s at most", took)
					}
				}
				l.wait(l.send(holding("next", "")), models.Completed)
				list, err := inspect.List(t.Context(), l.q.DB(), nil)
				if want := 2 + l.lines("begin", "x"); err != nil || len(list) != want {
					t.Errorf("%d tasks, %v, want %d", len(list), err, want)
				}
				l.noReservations()
			})
		})
	}
}

func TestFaultF8VeryManyResources(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		names := make([]string, 5000)
		for i := range names {
			names[i] = fmt.Sprint("r", i)
		}
		first := b.dispatch(blockArgs{Exclusive: names})
		second := b.dispatch(blockArgs{Exclusive: []string{"r4999"}})
		if b.granted(second) {
			t.Error("one of very many reservations does not hold")
		}
		b.endAll(b.claim(first))
		b.endAll(b.claim(second))
		b.noReservations()
	})
}

// TestFaultF9SomebodyHoldsTheLock has a caller who dispatches and does not commit.
func TestFaultF9SomebodyHoldsTheLock(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until a dispatch gives up")
	}
	b := setup(t, dbtest.Postgres(t), "")
	err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
		if _, err := b.block.Dispatch(t.Context(), b.q.In(tx.DB), blockArgs{Exclusive: []string{"held"}}, nil); err != nil {
			return err
		}
		began := time.Now()
		b.dispatch(blockArgs{Exclusive: []string{"free"}})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a dispatch on another resource took %v", took)
		}
		began = time.Now()
		_, err := b.block.Dispatch(t.Context(), b.q, blockArgs{Exclusive: []string{"held", "other"}}, nil)
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("it took %v to give up, want 5 s", took)
		}
		if !errors.Is(err, pulperr.Locked) {
			t.Errorf("Dispatch(held) = %v, want Locked", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := inspect.List(t.Context(), b.q.DB(), nil)
	if err != nil || len(list) != 2 {
		t.Errorf("%d tasks, %v, want 2", len(list), err)
	}
	if id := b.dispatch(blockArgs{Exclusive: []string{"other"}}); !b.granted(id) {
		t.Error("a dispatch that gave up left a reservation")
	}
}

// TestFaultF10CallersDeadlock has two callers lock a row and a resource in different orders.
func TestFaultF10CallersDeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), "")
	if err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
	dispatch := func(ctx context.Context, tx *models.Tx) error {
		_, err := b.block.Dispatch(t.Context(), b.q.In(tx.DB), blockArgs{Exclusive: []string{"r"}}, nil)
		return err
	}
	var meet sync.WaitGroup
	meet.Add(2)
	steps := [2][]func(ctx context.Context, tx *models.Tx) error{{dispatch, writeBeat}, {writeBeat, dispatch}}
	var failed atomic.Int32
	var wg sync.WaitGroup
	for _, list := range steps {
		wg.Go(func() {
			err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
				err := list[0](ctx, tx)
				meet.Done()
				meet.Wait()
				return errors.Join(err, list[1](ctx, tx))
			})
			if err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	list, err := inspect.List(t.Context(), b.q.DB(), nil)
	if err != nil || failed.Load() != 1 || len(list) != 1 {
		t.Fatalf("%d failed, %d tasks, %v; want one of each", failed.Load(), len(list), err)
	}
	b.endAll(b.claim(list[0].ID))
	b.noReservations()
}

// TestFaultF11OneBadTaskInABatch has one dispatch wait, so that the others share the next transaction.
func TestFaultF11OneBadTaskInABatch(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		var once atomic.Bool
		worker.SetFault(b.q, func(point string) {
			if point == "dispatch.before_commit" && once.CompareAndSwap(false, true) {
				<-time.After(300 * time.Millisecond)
			}
		})
		const n = 12
		key := &tasking.DispatchOptions{IdempotencyKey: "key"}
		b.dispatch(blockArgs{}, key)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				var o tasking.DispatchOptions
				var want error
				switch i {
				case 5:
					o.Group, want = &group.Group{ID: uuid.New()}, pulperr.NotFound
				case 7:
					o.IdempotencyKey, want = "key", pulperr.Exists
				}
				_, err := b.block.Dispatch(t.Context(), b.q, blockArgs{Exclusive: []string{fmt.Sprint(i)}}, &o)
				if !errors.Is(err, want) {
					t.Errorf("Dispatch(%d) = %v, want %v", i, err, want)
				}
			})
		}
		wg.Wait()
		list, err := inspect.List(t.Context(), b.q.DB(), nil)
		if want := 1 + n - 2; err != nil || len(list) != want {
			t.Errorf("%d tasks, %v, want %d", len(list), err, want)
		}
	})
}
