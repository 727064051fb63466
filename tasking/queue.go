package tasking

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// Queue is where tasks are dispatched to, canceled and waited for. A handle is bound to one domain like the [models.DB]
// it was made from; [Queue.In] makes others. It is safe for concurrent use.
type Queue struct {
	core *engine.Core
	db   *models.DB
}

// QueueOptions are the parts of a [Queue] that have defaults.
type QueueOptions struct {
	// RedisURL is where ready tasks are announced: "redis://[user:password@]host[:port]/db", rediss:// or unix://. Empty
	// is for installations of a single process, which then need no Redis. No task is lost if Redis loses its data.
	RedisURL string
	// Redis are the full connection options, for example for Sentinel; they win over RedisURL.
	Redis *redis.UniversalOptions
	// Prefix begins the queue's names in Redis. Each installation needs one of its own, or a database number of its own,
	// if several share a Redis: otherwise each takes the other's token for a loss of data, once a second and for ever. All
	// processes of one installation need the same. Default "pulp".
	Prefix string
	Log    *slog.Logger // default: nowhere
	// Versions are those of the plugins of this process, by name. A task that is dispatched here runs on workers that have
	// its plugin in the same version or a later one; see [DispatchOptions] for the order of versions. Default: on any.
	Versions map[string]string
	// PreferDefer leaves immediate tasks to the workers, unless they are not deferred.
	PreferDefer bool

	// Tracer and Meter are where spans and metrics go; see docs/operations.md. Default: nowhere. The providers of package
	// otel, which all of a process shares, are never asked. The gauges show the whole database, in each process the same.
	// The host shuts the providers down, after it has closed the queue.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// NewQueue returns a queue on a database. It connects to Redis only when it needs it. The caller closes it, after the
// workers have ended.
//
// Errors: Invalid for a malformed URL.
func NewQueue(db *models.DB, opts *QueueOptions) (*Queue, error) {
	if opts == nil {
		opts = &QueueOptions{}
	}
	o := engine.Options(*opts)
	core, err := engine.New(db, &o)
	if err != nil {
		return nil, err
	}
	return &Queue{core: core, db: db}, nil
}

// In returns a handle on the same queue for the domain of db. If db belongs to a transaction, all that the handle does
// is part of it: reads see it, and tasks are dispatched and canceled when it commits. The handle is not closed on its
// own: see [Queue.Close].
func (q *Queue) In(db *models.DB) *Queue { return &Queue{core: q.core, db: db} }

// DB returns the database handle that the queue was made with.
func (q *Queue) DB() *models.DB { return q.db }

// Close closes the connections to Redis, for all handles that come from one [NewQueue] at once, whichever of them it is
// called on. It may be called twice.
func (q *Queue) Close() error {
	return q.core.Close()
}

// Ping asks Redis whether it answers. Without a Redis it succeeds.
//
// Errors: Unavailable.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.core.Transport.Ping(ctx); err != nil {
		return fmt.Errorf("tasking: ping Redis: %w: %w", pulperr.Unavailable, err)
	}
	return nil
}

// Get returns a task of the queue's domain.
//
// Errors: NotFound.
func (q *Queue) Get(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	return engine.Get(ctx, q.db, id)
}

// Cancel stops a task and returns it as it is then: canceled if it was waiting, canceling if it was running, in which
// case it keeps its reservations until its function has returned. A second call has no effect. Tasks that it dispatched
// are not canceled with it.
//
// Errors: NotFound; Conflict if the task has ended otherwise than by being canceled; Locked if the resources' rows
// stayed locked for 5 s, or in a caller's transaction for as long as that one waits.
func (q *Queue) Cancel(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	return q.core.Cancel(ctx, q.db, id)
}

// Wait returns the task once its state is final. A task that waits for another one keeps its slot meanwhile: when all
// slots are taken by tasks that wait for tasks which have not begun, no task goes on, and no error reports that. Such
// tasks need workers with more slots than there are of them, or dispatch what comes afterwards as a task of its own.
//
// Errors: NotFound; Conflict if it is called by a task that the other one waits for itself, because of what the first
// one has reserved or over any number of tasks between them, of which those that call Wait must run in this process;
// the cause of ctx.
func (q *Queue) Wait(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	return q.core.Wait(ctx, q.db, id)
}

// Subscribe returns the events of the queue's domain from now on: to know all that happens to a task, subscribe first
// and read it then. Those of other processes come by way of Redis and only while a worker of this process runs, of
// whatever kind and with however many slots. The caller closes the subscription; closing the queue ends it too.
func (q *Queue) Subscribe() *event.Subscription { return q.core.Subscribe(engine.DomainID(q.db)) }

// NewGroup stores a group of tasks with its progress reports, in the queue's domain.
//
// Errors: Exists if two reports have the same code.
func (q *Queue) NewGroup(ctx context.Context, description string, reports ...group.Report) (*group.Group, error) {
	return group.New(ctx, q.core, q.db, description, reports)
}

// Group returns a group of the queue's domain.
//
// Errors: NotFound.
func (q *Queue) Group(ctx context.Context, id uuid.UUID) (*group.Group, error) {
	g := group.Of(q.core, q.db, id)
	_, err := g.Row(ctx)
	return g, err
}

// Core returns what the other packages of the task engine work with, such as package worker. It has no use outside of
// them.
func (q *Queue) Core() *engine.Core { return q.core }
