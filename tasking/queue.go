package tasking

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
)

// Queue is where tasks are dispatched to, canceled and waited for. A handle is bound to one domain like the [models.DB]
// it was made from; [Queue.In] makes others. It is safe for concurrent use.
type Queue struct {
	*core
	db *models.DB
}

// core is what all handles of one NewQueue have in common.
type core struct {
	kind sqldialect.Kind
	log  *slog.Logger
	tel  *telemetry // nil without a provider
	*messenger

	dispatches  batch.Writer[*spec, dispatched]
	additions   batch.Writer[addition, added]
	versions    map[string]string // of the plugins of this process
	preferDefer bool
	failpoint   func(point string) // stops at a point, in tests; nil does nothing

	backlog      backlog
	immediates   immediates
	living       livingWorkers
	waits        waits
	installation installation
}

// QueueOptions are the parts of a [Queue] that have defaults.
type QueueOptions struct {
	// RedisURL is where ready tasks are announced: "redis://[user:password@]host[:port]/db", rediss:// or unix://. Empty
	// is for installations of a single process, which then need no Redis. Redis holds nothing that cannot be lost.
	RedisURL string
	// Redis are the full connection options, for example for Sentinel; they win over RedisURL.
	Redis *redis.UniversalOptions
	// Prefix begins the queue's names in Redis. Each installation needs one of its own, or a database number of its own,
	// if several share a Redis: otherwise each takes the other's marks for lost data, once a second and for ever. All
	// processes of one installation need the same. Default "pulp".
	Prefix string
	Log    *slog.Logger // default: nowhere
	// Versions are those of the plugins of this process, by name. A task that is dispatched here runs on workers that
	// have its plugin in the same version or a later one; see [DispatchOptions] for what is later. Default: on any.
	Versions map[string]string
	// PreferDefer leaves immediate tasks to the workers, unless they are not deferred.
	PreferDefer bool

	// Tracer and Meter are where spans and metrics go; see docs/operations.md. Default: nowhere. The providers of
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
		kind: db.Conn().Kind, log: opts.Log, versions: opts.Versions, preferDefer: opts.PreferDefer,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.messenger, err = newMessenger(db, opts, c.log); err != nil {
		return nil, err
	}
	q := &Queue{core: c, db: db}
	q.initDispatches()
	q.initAdditions()
	c.tel, err = newTelemetry(q, opts.Tracer, opts.Meter)
	return q, err
}

// at marks a point between two steps at which tests let a process die.
func (c *core) at(point string) {
	if c.failpoint != nil {
		c.failpoint(point)
	}
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
	return errors.Join(q.tel.close(), q.messenger.close())
}

// Ping asks Redis whether it answers. Without a Redis it succeeds.
//
// Errors: Unavailable.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.transport.Ping(ctx); err != nil {
		return fmt.Errorf("tasking: ping Redis: %w: %w", pulperr.Unavailable, err)
	}
	return nil
}

// ErrNoRedis is the error of [Queue.Redis] if the queue was opened without a Redis.
var ErrNoRedis = pulperr.Public(pulperr.Unavailable, "the tasks of this installation are not announced in a Redis")

// Redis returns the connection to the Redis in which ready tasks are announced, for tools that show its messages. The
// queue closes it.
//
// Errors: ErrNoRedis; Unavailable once the queue is closed.
func (q *Queue) Redis() (redis.UniversalClient, error) {
	t, ok := q.transport.(*asynqredis.Transport)
	if !ok {
		return nil, ErrNoRedis
	}
	return t.Client()
}

// RedisQueues returns the names that the queue has within Redis: the one of ordinary tasks first, then that of
// immediate ones. Without a Redis there are none.
func (q *Queue) RedisQueues() []string {
	t, ok := q.transport.(*asynqredis.Transport)
	if !ok {
		return nil
	}
	return []string{t.QueueName(defaultQueue), t.QueueName(immediateQueue)}
}

// installation is the random name of the installation, read once. Its zero value has not read it.
type installation struct {
	mu   sync.Mutex
	name string
}

// get returns the name, or "" before it was read.
func (i *installation) get() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.name
}

// read reads the name, and makes it first where the database has none.
func (i *installation) read(ctx context.Context, db *models.DB) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.name != "" {
		return nil
	}
	name, err := taskdb.Meta(ctx, taskdb.On(db), taskdb.Installation, false)
	if err == nil && name == "" {
		name, err = i.create(ctx, db)
	}
	if err != nil {
		return taskdb.Wrap(err, "read the installation's name")
	}
	i.name = name
	return nil
}

func (i *installation) create(ctx context.Context, db *models.DB) (name string, err error) {
	err = taskdb.Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		c := taskdb.On(tx.DB)
		if err := taskdb.InitMeta(ctx, c, taskdb.Installation, strings.ToLower(rand.Text()[:8])); err != nil {
			return err
		}
		for _, key := range []string{taskdb.Epoch, taskdb.Maintenance} { // rows that later are locked or swapped
			if err := taskdb.InitMeta(ctx, c, key, ""); err != nil {
				return err
			}
		}
		name, err = taskdb.Meta(ctx, c, taskdb.Installation, false)
		return err
	})
	return name, err
}
