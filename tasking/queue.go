package tasking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Queue is where tasks are dispatched to, canceled and waited for. A handle is bound to one domain like the [models.DB]
// it was made from; [Queue.In] makes others. It is safe for concurrent use.
type Queue struct {
	*core
	db *models.DB
}

// core is what all handles of one NewQueue have in common.
type core struct {
	kind      sqldialect.Kind
	log       *slog.Logger
	prefix    string
	newClient func() redis.UniversalClient
	embedded  *miniredis.Miniredis // nil with a real Redis
	delivery  *delivery
	events    *events
	outbox    *outbox
	listening chan struct{} // a token for the worker that receives the events of other processes
	ticking   chan struct{} // a token for the worker that keeps the clock of the embedded Redis
	tel       *telemetry    // nil without a provider

	dispatches  *batcher[*spec, dispatched]
	additions   *batcher[addition, added]
	versions    map[string]string // of the plugins of this process
	preferDefer bool
	fault       func(point string) // stops at a point, in tests; nil does nothing
	backlog     atomic.Int64       // tasks that were ready when somebody counted last

	mu       sync.Mutex
	inline   []*Worker          // that execute immediate tasks in this process; the first that can does
	consumer int                // workers of this process that take tasks from the queue
	alive    map[uuid.UUID]bool // workers that run in this process
	waits    map[waitEdge]int   // of tasks that run in this process

	installation string // name of the installation, once known
}

// QueueOptions are the parts of a [Queue] that have defaults.
type QueueOptions struct {
	// RedisURL is where ready tasks are announced: "redis://[user:password@]host[:port]/db", rediss:// or unix://. Empty
	// means a Redis inside this process, for installations of a single process. Redis holds nothing that cannot be lost.
	RedisURL string
	// Redis are the full connection options, for example for Sentinel; they win over RedisURL.
	Redis *redis.UniversalOptions
	// Prefix begins the queue's names in Redis. Each installation needs one of its own, or a database number of its own,
	// if several share a Redis: otherwise each takes the other's marks for lost data, once a second and for ever. All
	// processes of one installation need the same. Default "pulp".
	Prefix string
	Log    *slog.Logger // default: nowhere
	// Versions are those of the plugins of this process, by name. A task that is dispatched here runs on workers that
	// have its plugin in the same version or a later one; see [Options] for what is later. Default: on any.
	Versions map[string]string
	// PreferDefer leaves immediate tasks to the workers, unless they are not deferred.
	PreferDefer bool

	// Tracer and Meter are where spans and metrics go; see docs/tasks.md. Default: nowhere. The providers of
	// package otel, which all of a process shares, are never asked. The gauges tell of the whole database, whichever
	// process reads them. The host shuts the providers down, after it has closed the queue.
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
	c := &core{
		kind: db.Conn().Kind, log: opts.Log, prefix: opts.Prefix, events: newEvents(),
		listening: make(chan struct{}, 1), ticking: make(chan struct{}, 1),
		versions: opts.Versions, preferDefer: opts.PreferDefer, alive: map[uuid.UUID]bool{},
		waits: map[waitEdge]int{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.prefix == "" {
		c.prefix = "pulp"
	}
	if err := c.connect(opts); err != nil {
		return nil, err
	}
	c.delivery, c.outbox = newDelivery(c), newOutbox(c)
	q := &Queue{core: c, db: db}
	c.dispatches, c.additions = newDispatches(q), newAdditions(q)
	var err error
	c.tel, err = newTelemetry(q, opts.Tracer, opts.Meter)
	return q, err
}

// at marks a point between two steps at which a process may die, for tests that make it do so.
func (c *core) at(point string) {
	if c.fault != nil {
		c.fault(point)
	}
}

// connect says how to reach Redis. Its clients end a call at the deadline of the call's context, which they do not by
// default: a Redis that does not answer would hold up each dispatch for their own 5 s.
func (c *core) connect(opts *QueueOptions) error {
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch {
	case opts.Redis != nil:
		o := *opts.Redis
		o.MaintNotificationsConfig, o.ContextTimeoutEnabled = quiet, true
		c.newClient = func() redis.UniversalClient { return redis.NewUniversalClient(&o) }
	case opts.RedisURL != "":
		o, err := redis.ParseURL(opts.RedisURL)
		if err != nil { // the parser's message may quote a password
			return pulperr.Public(pulperr.Invalid, "the Redis URL is not valid")
		}
		o.MaintNotificationsConfig, o.ContextTimeoutEnabled = quiet, true
		c.newClient = func() redis.UniversalClient { return redis.NewClient(o) }
	default:
		c.embedded = miniredis.NewMiniRedis()
		c.newClient = func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{
				Addr:                     "127.0.0.1:1", // never dialled
				Dialer:                   func(context.Context, string, string) (net.Conn, error) { return c.embedded.Dial() },
				MaintNotificationsConfig: quiet,
			})
		}
	}
	return nil
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
	q.events.close()
	q.outbox.close()
	err := errors.Join(q.tel.close(), q.delivery.close())
	if q.embedded != nil {
		q.embedded.Close()
	}
	return err
}

// Ping asks Redis whether it is there.
//
// Errors: Unavailable.
func (q *Queue) Ping(ctx context.Context) error {
	client, err := q.delivery.redis()
	if err == nil {
		err = client.Ping(ctx).Err()
	}
	if err != nil {
		return fmt.Errorf("tasking: ping Redis: %w: %w", pulperr.Unavailable, err)
	}
	return nil
}

// Redis returns the connection to the Redis that ready tasks are announced in, which may be the one inside this
// process: for tools that show what is there. The queue closes it.
//
// Errors: Unavailable once the queue is closed.
func (q *Queue) Redis() (redis.UniversalClient, error) {
	client, err := q.delivery.redis()
	return client, kindOr(err, pulperr.Unavailable)
}

// RedisQueues returns the names that the queue has within Redis: the one of ordinary tasks first, then that of
// immediate ones.
func (q *Queue) RedisQueues() []string {
	return []string{q.queueName(defaultQueue), q.queueName(immediateQueue)}
}
