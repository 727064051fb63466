package worker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestTaskOfAnotherWorkerIsNotTaken has the database show a task as a worker's own that the worker does not execute.
// Before the worker comes to take it over, another one has it.
func TestTaskOfAnotherWorkerIsNotTaken(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		w := b.worker(worker.Options{TTL: time.Hour})
		worker.SetUnattendedTimeout(w, 8*time.Nanosecond)
		o, err := worker.NewObserver(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		id := b.dispatch(blockArgs{Name: "a"})
		other := *b.claim(id).WorkerID
		b.deadWorker(other, time.Hour)
		b.exec("UPDATE core_task SET worker_id = (SELECT pulp_id FROM core_worker WHERE pulp_id <> ?) WHERE pulp_id = ?", other, id)
		taken := false
		worker.SetFault(b.q, func(point string) {
			if point == "reap.before" {
				taken = true
				b.exec("UPDATE core_task SET worker_id = ?, claim_id = ? WHERE pulp_id = ?", other, uuid.New(), id)
			}
		})
		for range 10 {
			if _, err := o.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if task := b.get(id); !taken || task.State != models.Running || *task.WorkerID != other {
			t.Errorf("the task is %s by %v, want it to run by %v; a takeover: %t", task.State, task.WorkerID, other, taken)
		}
	})
}

// TestLateClaimIsGivenBack has a claim that got no answer carried out after the worker asked what became of it.
func TestLateClaimIsGivenBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		w := b.worker(worker.Options{TTL: time.Hour})
		o, err := worker.NewObserver(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		id := b.dispatch(blockArgs{Name: "a"})
		if err := o.ClaimLate(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if task := b.get(id); task.State != models.Running {
			t.Fatalf("the task is %s", task.State)
		}
		if _, err := o.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if task := b.get(id); task.State != models.Waiting || task.Attempt != 0 || task.WorkerID != nil {
			t.Errorf("the task is %s after %d attempts, by %v, want it to wait as if it had not been claimed",
				task.State, task.Attempt, task.WorkerID)
		}
	})
}
