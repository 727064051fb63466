package tasking

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// deliver announces tasks that became ready. It never fails: the relay delivers later what the transport did not take.
func (q *Queue) deliver(ctx context.Context, tasks ...taskdb.ReadyTask) {
	if len(tasks) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx) // the tasks are stored, whatever happens to the caller
	sent, err := q.transport.Announce(ctx, tasks)
	if err != nil && !errors.Is(err, transport.ErrDown) {
		q.log.WarnContext(ctx, "tasks are delivered later", "tasks", len(tasks)-sent, "err", err)
	}
	if sent == 0 || sent == len(tasks) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, transport.Budget)
	defer cancel()
	if err := q.deliverSoon(ctx, tasks[sent:]); err != nil {
		q.log.WarnContext(ctx, "tasks are delivered later", "tasks", len(tasks)-sent, "err", err)
	}
}

// publishCancel tells the other processes that a running task is to stop. Their workers find out without it, when they
// read the states of their tasks.
func (q *Queue) publishCancel(ctx context.Context, id uuid.UUID) {
	q.hub.cancel(id)
	if q.broadcaster == nil {
		return
	}
	notice := transport.Notice{Topic: transport.Cancel, Payload: id.String()}
	if err := q.broadcaster.Publish(context.WithoutCancel(ctx), notice); err != nil {
		q.log.DebugContext(ctx, "redis did not take a cancellation", "task_id", id, "err", err)
	}
}
