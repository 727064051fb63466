package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestLongWriteIsNotDeath has SQLite's writer taken for longer than a TTL, so that no worker can write its heartbeat
// while the others see that it stands still.
func TestLongWriteIsNotDeath(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second // of which a third has to be enough for a heartbeat
	for name, elsewhere := range map[string]bool{"within one process": false, "of another process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.SQLite(t)
			b := setup(t, url, "")
			observers := b
			if elsewhere { // a handle and a queue of its own know no more of the worker than another process does
				observers = setup(t, url, "")
			}
			observers.run(worker.Options{TTL: ttl, Name: "content", NoTasks: true, Kinds: []string{worker.KindContent}})
			observers.run(worker.Options{TTL: 4 * ttl, Name: "api", NoTasks: true, Kinds: []string{worker.KindAPI}})
			b.run(worker.Options{TTL: ttl, Name: "worker"})
			id := b.dispatch(blockArgs{Name: "a"})
			b.begins("a")
			<-time.After(ttl / 2) // the first looks
			err := observers.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
				err := writeBeat(ctx, tx)
				<-time.After(2 * ttl)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(ttl) // takeovers that began
			if task := b.get(id); task.State != models.Running {
				t.Fatalf("the task is %s: %+v", task.State, task.Error)
			}
			b.end("a", nil)
			b.wait(id, models.Completed)
		})
	}
}
