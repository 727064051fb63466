package engine

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/inprocess"
)

// Messenger announces ready tasks, cancellations and events to the parts of this process and to other processes.
// Messages may be lost: every receiver also reads the database.
type Messenger struct {
	db          *models.DB
	log         *slog.Logger
	broadcaster transport.Broadcaster // the transport, or nil if there are no other processes
	publisher   *publisher            // nil without a broadcaster
	listener    *listener             // nil without a broadcaster
	events      event.Hub
	*signals

	Transport transport.Transport
	Retainer  transport.Retainer   // the transport, or nil if it keeps no messages
	Database  *inprocess.Transport // reads ready tasks from the database; the transport itself if there is no Redis
}

// newMessenger returns a messenger with the transport that the options ask for.
//
// Errors: Invalid for a malformed Redis URL.
func newMessenger(db *models.DB, o *Options, log *slog.Logger) (*Messenger, error) {
	m := &Messenger{db: db, log: log, signals: newSignals()}
	m.Database = inprocess.New(func(ctx context.Context, queue string) iter.Seq2[transport.Message, error] {
		return ReadyTasks(ctx, db, queue)
	}, log)
	if o.Redis == nil && o.RedisURL == "" {
		m.Transport = m.Database
		return m, nil
	}
	redis, err := asynqredis.New(&asynqredis.Options{
		URL: o.RedisURL, Redis: o.Redis, Prefix: cmp.Or(o.Prefix, "pulp"), Log: log,
	})
	if err != nil {
		return nil, err
	}
	m.Transport, m.Retainer, m.broadcaster = redis, redis, redis
	m.publisher = newPublisher(redis, log)
	m.listener = newListener(redis, m, m.publisher)
	return m, nil
}

// Deliver announces tasks that became ready. It never fails: the relay announces later what the transport did not take.
func (m *Messenger) Deliver(ctx context.Context, tasks ...taskdb.ReadyTask) {
	if len(tasks) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx) // the tasks are stored, whatever happens to the caller
	sent, err := m.Transport.Announce(ctx, tasks)
	if err != nil && !errors.Is(err, transport.ErrDown) {
		m.log.WarnContext(ctx, "ready tasks could not be announced; the relay does it later",
			"tasks", len(tasks)-sent, "err", err)
	}
	// If the transport took no message, the relay announces all of them after their grace.
	if sent == 0 || sent == len(tasks) {
		return
	}
	// The transport works and was only slow, so the relay announces the rest at once instead of after the grace.
	ctx, cancel := context.WithTimeout(ctx, transport.Budget)
	defer cancel()
	err = taskdb.Write(ctx, m.db, func(c taskdb.Conn) error { return taskdb.MakeDue(ctx, c, tasks[sent:]) })
	if err != nil {
		m.log.WarnContext(ctx, "ready tasks could not be made due; they are announced after their grace",
			"tasks", len(tasks)-sent, "err", err)
	}
}

// Emit passes events to the subscriptions of this process and of others. It does not wait for them.
func (m *Messenger) Emit(list ...event.Event) {
	m.pass(list)
	if m.publisher != nil {
		m.publisher.add(list)
	}
}

// pass wakes the calls of Wait for the tasks of events, and hands the events to the subscriptions of this process.
func (m *Messenger) pass(list []event.Event) {
	m.signals.ended(list)
	m.events.Deliver(list)
}

// hasReaders reports whether a part of this process would notice an event.
func (m *Messenger) hasReaders() bool { return m.hasWaiters() || m.events.HasReaders() }

// Subscribe returns the events of a domain.
func (m *Messenger) Subscribe(domain uuid.UUID) *event.Subscription {
	return m.events.Subscribe(domain)
}

// Listen passes the events and cancellations of other processes on until ctx is done. Without other processes it
// returns at once.
func (m *Messenger) Listen(ctx context.Context) {
	if m.listener != nil {
		m.listener.run(ctx)
	}
}

// publishCancel broadcasts the cancellation of a running task. If it is lost, the task's worker finds the cancellation
// in the database.
func (m *Messenger) publishCancel(ctx context.Context, id uuid.UUID) {
	// The workers of this process need no transport.
	m.signals.cancel(id)
	if m.broadcaster == nil {
		return
	}
	notice := transport.Notice{Topic: transport.Cancel, Payload: id.String()}
	// The cancellation is committed, so the end of the caller's context must not stop the notice.
	if err := m.broadcaster.Publish(context.WithoutCancel(ctx), notice); err != nil {
		m.log.DebugContext(ctx, "a cancellation is not published", "task_id", id, "err", err)
	}
}

// close publishes the events that wait and ends the connections.
func (m *Messenger) close() error {
	m.events.Close()
	if m.publisher != nil {
		m.publisher.close()
	}
	return m.Transport.Close()
}
