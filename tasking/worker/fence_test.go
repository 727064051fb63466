package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestFencedAttemptDiscardsNothing has an attempt fail because another one has the task. What the task has made and not
// completed belongs to that one.
func TestFencedAttemptDiscardsNothing(t *testing.T) {
	t.Parallel()
	outcomes := map[string]func(fenced error) error{
		"which it returns":       func(fenced error) error { return fenced },
		"which it keeps quiet":   func(error) error { return errFlaky },
		"and wants another turn": func(error) error { return tasking.Retry(errFlaky, 0) },
	}
	for name, outcome := range outcomes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, b *bench) {
				began, lost, wrote := make(chan struct{}), make(chan struct{}), make(chan error, 1)
				slept := tasking.Define[noArgs]("test.slept")
				stop := b.run(worker.Options{
					TTL: time.Hour, // the worker is as deaf as the task
					Discard: func(_ context.Context, _ *models.DB, prn string) error {
						t.Errorf("%s was discarded", prn)
						return nil
					},
					Bindings: []tasking.Binding{slept.Bind(func(ctx context.Context, env *tasking.Env, _ noArgs) error {
						close(began)
						<-lost
						err := env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) })
						wrote <- err
						return outcome(err)
					})},
				})
				ticket, err := slept.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{MaxAttempts: 3})
				if err != nil {
					t.Fatal(err)
				}
				<-began
				b.exec("UPDATE core_task SET worker_id = ?, claim_id = ? WHERE pulp_id = ?", uuid.New(), uuid.New(), ticket.TaskID)
				b.exec("INSERT INTO core_createdresource (pulp_id, pulp_created, task_id, prn, incomplete) VALUES (?, ?, ?, ?, ?)",
					models.NewID(), models.Now(), ticket.TaskID, "prn:test.thing:1", true)
				close(lost)
				if err := <-wrote; !errors.Is(err, tasking.ErrLost) {
					t.Errorf("a transaction of the attempt that lost the task = %v, want ErrLost", err)
				}
				stop()
				if task := b.get(ticket.TaskID); task.State != models.Running {
					t.Errorf("the attempt that lost the task made it %s", task.State)
				}
				var left int
				err = b.db.Bun().NewRaw("SELECT count(*) FROM core_createdresource").Scan(t.Context(), &left)
				if err != nil || left != 1 {
					t.Errorf("%d incomplete resources, %v, want 1", left, err)
				}
				b.exec("DELETE FROM core_task") // the attempt that has it is not there
				b.exec("DELETE FROM core_taskresource")
			})
		})
	}
}
