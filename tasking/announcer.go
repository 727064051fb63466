package tasking

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// announcer tells workers which tasks they may try to claim. An announcement may be lost: the relay repeats it.
type announcer struct {
	db        *models.DB
	transport transport.Transport
	log       *slog.Logger
	consumers atomic.Int64 // workers of this process that take tasks
	wakes     atomic.Int64 // calls of wake that are not published yet
}

// announceDirectly is how many tasks the end of a task announces itself. The relay announces the other ones.
const announceDirectly = 200

// announce announces tasks that became ready and wakes the workers. It never fails: what the transport does not take is
// announced later.
func (a *announcer) announce(ctx context.Context, tasks ...taskdb.ReadyTask) {
	if len(tasks) == 0 {
		return
	}
	if _, isRedis := a.transport.(*transport.Redis); !isRedis && a.consumers.Load() == 0 {
		return // no process has a consumer, and a worker reads the database when it begins
	}
	ctx = context.WithoutCancel(ctx)
	n, err := a.transport.Announce(ctx, tasks[:min(len(tasks), announceDirectly)])
	if err != nil && !transport.IsAway(err) {
		a.log.WarnContext(ctx, "tasks are announced later", "tasks", len(tasks)-n, "err", err)
	}
	if n == 0 {
		return
	}
	if rest := tasks[n:]; len(rest) > 0 {
		ctx, cancel := context.WithTimeout(ctx, transport.Budget)
		defer cancel()
		err := taskdb.Write(ctx, a.db, func(c taskdb.Conn) error { return taskdb.MakeDue(ctx, c, rest) })
		if err != nil {
			a.log.WarnContext(ctx, "tasks are announced later", "tasks", len(rest), "err", err)
		}
	}
	a.wake(ctx)
}

// wake makes the idle consumers of all processes look for messages. Of several calls at the same time one publishes for
// all.
func (a *announcer) wake(ctx context.Context) {
	a.transport.Wake()
	if a.wakes.Add(1) > 1 {
		return // the call that is publishing does it once more
	}
	for {
		n := a.wakes.Load()
		a.publish(ctx, transport.Notice{Topic: transport.Wake})
		if a.wakes.CompareAndSwap(n, 0) {
			return
		}
	}
}

// cancel tells the other processes that a running task is to stop.
func (a *announcer) cancel(ctx context.Context, task uuid.UUID) {
	a.publish(ctx, transport.Notice{Topic: transport.Cancel, Payload: task.String()})
}

func (a *announcer) publish(ctx context.Context, n transport.Notice) {
	if err := a.transport.Publish(ctx, n); err != nil && !transport.IsAway(err) {
		a.log.DebugContext(ctx, "a notice is not published", "topic", string(n.Topic), "err", err)
	}
}
