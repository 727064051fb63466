package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestReserveWhileRunning(t *testing.T) {
	t.Parallel()
	reserver := tasking.Define[noArgs]("test.reserver")
	onEach(t, func(t *testing.T, b *bench) {
		no := errors.New("no")
		var next uuid.UUID
		w := b.worker(worker.Options{Bindings: []tasking.Binding{reserver.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				err := env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					return errors.Join(env.Reserve(ctx, tx, tasking.Named("rolled back")...), no)
				})
				if !errors.Is(err, no) {
					return err
				}
				err = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					return env.Reserve(ctx, tx, tasking.Named("new", "own", "new")...)
				})
				if err != nil {
					return err
				}
				next = b.dispatch(blockArgs{Name: "next", Exclusive: []string{"new"}})
				if task := b.get(next); task.UnblockedAt != nil {
					t.Error("a resource that was reserved while running is free")
				}
				free := b.dispatch(blockArgs{Name: "free", Exclusive: []string{"rolled back"}})
				if task := b.get(free); task.UnblockedAt == nil {
					t.Error("a resource whose reservation was rolled back is not free")
				}
				err = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					return env.Reserve(ctx, tx, tasking.Named("rolled back")...)
				})
				if !errors.Is(err, pulperr.Locked) {
					t.Errorf("Reserve(taken) = %v, want Locked", err)
				}
				if _, err := env.Queue.Wait(ctx, next); !errors.Is(err, pulperr.Conflict) {
					t.Errorf("Wait(for a task that waits for this one) = %v, want Conflict", err)
				}
				return nil
			})}})
		ticket, err := reserver.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("own")})
		if err != nil {
			t.Fatal(err)
		}
		b.end("next", nil)
		b.end("free", nil)
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		task := b.wait(ticket.TaskID, models.Completed)
		domain := "shared:" + models.CorePRN("domain", b.db.Domain().ID)
		if got := task.ReservedResources; len(got) != 3 || got[0] != "own" || got[1] != domain || got[2] != "new" {
			t.Errorf("reserved resources = %v", got)
		}
		b.wait(next, models.Completed)
		b.noReservations()
	})
}

// TestSweepRepairs breaks the bookkeeping by hand.
func TestSweepRepairs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		first := b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
		second := b.dispatch(blockArgs{Name: "second", Exclusive: []string{"r"}})
		for _, statement := range []string{
			"UPDATE core_task SET state = 'completed', attempt = 1, started_at = pulp_created WHERE pulp_id = ?",
			"DELETE FROM core_taskresource WHERE task_id = ? AND exclusive",
		} {
			if _, err := b.db.Bun().NewRaw(statement, first).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w := b.worker(worker.Options{})
		if err := worker.Sweep(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if task := b.get(second); task.UnblockedAt == nil {
			t.Error("a task that nothing is in the way of stays blocked")
		}
		b.end("second", nil)
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(second, models.Completed)
		b.noReservations()
	})
}

// TestSweepFindsWhoIsFarBehind has a task that waits for nothing behind very many that do not.
func TestSweepFindsWhoIsFarBehind(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		if err := worker.Pile(t.Context(), b.q, 1100, "r"); err != nil {
			t.Fatal(err)
		}
		b.exec("UPDATE core_task SET worker_id = NULL, claim_id = NULL, state = 'waiting', attempt = 0, started_at = NULL" +
			" WHERE state = 'running'")
		stranded := b.dispatch(blockArgs{Name: "stranded", Exclusive: []string{"other"}})
		b.exec("UPDATE core_task SET unblocked_at = NULL, deliver_due = NULL WHERE pulp_id = ?", stranded)
		w := b.worker(worker.Options{})
		for range 20 { // each goes as far as its time allows
			if err := worker.Sweep(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		if b.get(stranded).UnblockedAt == nil {
			t.Error("a task that nothing is in the way of stays blocked")
		}
		var granted int
		if err := b.db.Bun().NewRaw("SELECT count(*) FROM core_task WHERE unblocked_at IS NOT NULL").
			Scan(t.Context(), &granted); err != nil || granted != 2 {
			t.Errorf("%d tasks are granted, %v, want the first and the stranded one", granted, err)
		}
	})
}

// TestSweepFindsReservationsWithoutTasks has tasks deleted that left reservations, behind very many that are in order,
// and one that waits for one of those.
func TestSweepFindsReservationsWithoutTasks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		for i := range 1100 {
			b.exec("INSERT INTO core_taskresource (rkey, exclusive, seq, task_id) VALUES (?, ?, ?, ?)",
				i-550, i%2 == 0, i, models.NewID())
		}
		ended := b.dispatch(blockArgs{Name: "ended", Exclusive: []string{"r", "s"}})
		b.exec("DELETE FROM core_task WHERE pulp_id = ?", ended)
		blocked := b.dispatch(blockArgs{Name: "blocked", Exclusive: []string{"r"}})
		if task := b.get(blocked); task.UnblockedAt != nil {
			t.Fatal("a reservation without a task blocks nobody")
		}
		w := b.worker(worker.Options{})
		for range 20 { // each goes as far as its time allows
			if err := worker.Sweep(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		if task := b.get(blocked); task.UnblockedAt == nil {
			t.Error("a task stays blocked by a reservation without a task")
		}
		var left int
		err := b.db.Bun().NewRaw("SELECT count(*) FROM core_taskresource WHERE task_id <> ?", blocked).Scan(t.Context(), &left)
		if err != nil || left != 0 {
			t.Errorf("%d reservations without a task are left, %v", left, err)
		}
	})
}

// TestSweepWithoutFindsDoesNotWrite sweeps while somebody else writes, which on SQLite is one at a time.
func TestSweepWithoutFindsDoesNotWrite(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
		b.dispatch(blockArgs{Name: "second", Exclusive: []string{"r"}})
		w := b.worker(worker.Options{})
		err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			if err := writeBeat(ctx, tx); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return worker.Sweep(ctx, w)
		})
		if err != nil {
			t.Errorf("Sweep() = %v while somebody writes", err)
		}
	})
}
