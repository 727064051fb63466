// Package engine has the parts that queue handles, workers and schedules of one process share: the connection to the
// other processes, dispatch and cancellation, the waiting for tasks, spans and metrics. Package tasking exports it for
// dispatching tasks, package worker for executing them.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Core is what all handles of one queue have in common.
type Core struct {
	*Messenger
	DB        *models.DB // of the whole queue; a handle may have another one
	Kind      sqldialect.Kind
	Log       *slog.Logger
	Telemetry *Telemetry // nil without a provider
	Dispatcher

	Reports      Reports // of task groups
	Backlog      Backlog
	Immediates   Immediates
	Living       LivingWorkers
	Installation Installation

	waits     waits
	failpoint func(point string) // stops at a point, in tests; nil does nothing
}

// Options are those of package tasking, where they are documented.
type Options struct {
	RedisURL    string
	Redis       *redis.UniversalOptions
	Prefix      string
	Log         *slog.Logger
	Versions    map[string]string
	PreferDefer bool
	Tracer      trace.TracerProvider
	Meter       metric.MeterProvider
}

// New returns the core of a queue. It connects to Redis only when it needs it. The caller closes it.
//
// Errors: Invalid for a malformed URL.
func New(db *models.DB, o *Options) (c *Core, err error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c = &Core{DB: db, Kind: db.Conn().Kind, Log: log}
	if c.Messenger, err = newMessenger(db, o, log); err != nil {
		return nil, err
	}
	if c.Telemetry, err = newTelemetry(db, o.Tracer, o.Meter); err != nil {
		return nil, err
	}
	c.Dispatcher.init(c, o)
	c.Reports.init(db)
	return c, nil
}

// Close ends the connections. It may be called twice.
func (c *Core) Close() error { return errors.Join(c.Telemetry.close(), c.Messenger.close()) }

// At marks a point between two steps at which tests let a process die.
func (c *Core) At(point string) {
	if c.failpoint != nil {
		c.failpoint(point)
	}
}

// SetFailpoint makes At call fn, in tests.
func (c *Core) SetFailpoint(fn func(point string)) { c.failpoint = fn }

// Installation is the random name of the installation, read once. Its zero value has not read it.
type Installation struct {
	mu   sync.Mutex
	name string
}

// Name returns the name, or "" before it was read.
func (i *Installation) Name() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.name
}

// Read reads the name, and makes it first where the database has none.
func (i *Installation) Read(ctx context.Context, db *models.DB) error {
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

func (i *Installation) create(ctx context.Context, db *models.DB) (name string, err error) {
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
		// Read back: another process may have been faster, and both have to use its name.
		name, err = taskdb.Meta(ctx, c, taskdb.Installation, false)
		return err
	})
	return name, err
}

// LivingWorkers are the workers that run in this process, by the ids of their rows. Its zero value is ready for use.
type LivingWorkers struct {
	mu  sync.Mutex
	ids map[uuid.UUID]bool
}

// Replace adds the id of a worker and removes its former one; uuid.Nil is none.
func (l *LivingWorkers) Replace(old, id uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ids, old)
	if id == uuid.Nil {
		return
	}
	if l.ids == nil {
		l.ids = map[uuid.UUID]bool{}
	}
	l.ids[id] = true
}

// Has reports whether a worker of this process has the id.
func (l *LivingWorkers) Has(id uuid.UUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[id]
}
