package tasking

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/inprocess"
)

// messenger tells the parts of this process and the other processes what happens to tasks. Nothing depends on it: what
// gets lost is found in the database.
type messenger struct {
	db          *models.DB
	log         *slog.Logger
	transport   transport.Transport
	retainer    transport.Retainer    // the transport, or nil if it keeps no messages
	broadcaster transport.Broadcaster // the transport, or nil if there are no other processes
	database    *inprocess.Transport  // reads ready tasks from the database; the transport itself if there is no Redis
	hub         *eventHub
	publisher   *eventPublisher // nil without a broadcaster
	listener    *listener       // nil without a broadcaster
}

// newMessenger returns a messenger with the transport that the options ask for.
//
// Errors: Invalid for a malformed Redis URL.
func newMessenger(db *models.DB, o *QueueOptions, log *slog.Logger) (*messenger, error) {
	m := &messenger{db: db, log: log, hub: newEventHub()}
	m.database = inprocess.New(func(ctx context.Context, queue string) iter.Seq2[transport.Message, error] {
		return readyTasks(ctx, db, queue)
	}, log)
	if o.Redis == nil && o.RedisURL == "" {
		m.transport = m.database
		return m, nil
	}
	redis, err := asynqredis.New(&asynqredis.Options{
		URL: o.RedisURL, Redis: o.Redis, Prefix: cmp.Or(o.Prefix, "pulp"), Log: log,
	})
	if err != nil {
		return nil, err
	}
	m.transport, m.retainer, m.broadcaster = redis, redis, redis
	m.publisher = newEventPublisher(redis, log)
	m.listener = newListener(redis, m.hub, m.publisher)
	return m, nil
}

// deliver announces tasks that became ready. It never fails: the relay announces later what the transport did not take.
func (m *messenger) deliver(ctx context.Context, tasks ...taskdb.ReadyTask) {
	if len(tasks) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx) // the tasks are stored, whatever happens to the caller
	sent, err := m.transport.Announce(ctx, tasks)
	if err != nil && !errors.Is(err, transport.ErrDown) {
		m.log.WarnContext(ctx, "tasks are announced later", "tasks", len(tasks)-sent, "err", err)
	}
	if sent == 0 || sent == len(tasks) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, transport.Budget)
	defer cancel()
	err = taskdb.Write(ctx, m.db, func(c taskdb.Conn) error { return taskdb.MakeDue(ctx, c, tasks[sent:]) })
	if err != nil {
		m.log.WarnContext(ctx, "tasks are announced later", "tasks", len(tasks)-sent, "err", err)
	}
}

// emit tells the listeners of this process and of others what has happened. It does not wait for them.
func (m *messenger) emit(list ...Event) {
	m.hub.deliver(list)
	if m.publisher != nil {
		m.publisher.add(list)
	}
}

// publishCancel tells all processes that a running task is to stop. Their workers find out without it, when they read
// the states of their tasks.
func (m *messenger) publishCancel(ctx context.Context, id uuid.UUID) {
	m.hub.cancel(id)
	if m.broadcaster == nil {
		return
	}
	notice := transport.Notice{Topic: transport.Cancel, Payload: id.String()}
	if err := m.broadcaster.Publish(context.WithoutCancel(ctx), notice); err != nil {
		m.log.DebugContext(ctx, "a cancellation is not published", "task_id", id, "err", err)
	}
}

// close publishes the events that wait and ends the connections.
func (m *messenger) close() error {
	m.hub.close()
	if m.publisher != nil {
		m.publisher.close()
	}
	return m.transport.Close()
}
