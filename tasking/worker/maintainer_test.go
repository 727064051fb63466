package worker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestOneWorkerMaintains has two workers, of which the second one takes the lease when the first one ends.
func TestOneWorkerMaintains(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		stop := b.run(worker.Options{})
		first := b.onlyWorker().ID
		b.maintainedBy(first)
		b.run(worker.Options{})
		var second uuid.UUID
		eventually(t, "the second worker", func() bool {
			workers, err := inspect.Workers(t.Context(), b.q.DB())
			if err != nil || len(workers) != 2 {
				return false
			}
			second = workers[1].ID
			return true
		})
		b.maintainedBy(first)
		stop()
		b.maintainedBy(second)
	})
}

// TestLeaseOfADeadWorkerEnds has a holder whose heartbeat has stopped.
func TestLeaseOfADeadWorkerEnds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		dead := uuid.New()
		b.deadWorker(dead, 400*time.Millisecond)
		b.run(worker.Options{TTL: 400 * time.Millisecond})
		if err := worker.SetMaintainer(t.Context(), b.q, dead); err != nil {
			t.Fatal(err)
		}
		b.maintainedBy(b.onlyWorker().ID)
	})
}

// TestMaintainerWithoutRedisGivesTheLeaseBack has a holder that does not reach Redis and a task that no message
// announces.
func TestMaintainerWithoutRedisGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setup(t, url, "redis://127.0.0.1:1/0")
		b.run(worker.Options{NoTasks: true})
		b.maintainedBy(b.onlyWorker().ID)
		id := b.dispatch(blockArgs{Name: "x"})
		b.q = b.queue(dbtest.RedisURL(t))
		b.run(worker.Options{})
		b.begins("x")
		b.end("x", nil)
		b.wait(id, models.Completed)
	})
}

// maintainedBy waits until a worker has the lease.
func (b *bench) maintainedBy(id uuid.UUID) {
	b.t.Helper()
	eventually(b.t, "the lease of "+id.String(), func() bool {
		holder, err := worker.Maintainer(b.t.Context(), b.q)
		return err == nil && holder == id.String()
	})
}
