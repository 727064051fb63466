package models

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
)

// DB is a handle on the database that is bound to one domain: the functions of this package read and write rows of that
// domain through it. Make other handles with [DB.InDomain]. It is safe for concurrent use.
type DB struct {
	*shared
	q      bun.IDB // the pool, or the transaction of a Tx
	tx     *Tx     // nil outside a transaction
	domain *Domain // nil only before the schema exists
	task   *TaskScope
	store  *storage.Store
}

// shared is what all handles of one Open have in common.
type shared struct {
	conn      *sqldialect.Conn
	registry  *Registry
	keys      *secrets.Keyring
	checksums *hashlib.Checksums
	settings  *settings.Set
	log       *slog.Logger
	locks     repositoryLocks
}

// DBOptions are the parts of a database handle that have defaults.
type DBOptions struct {
	Registry  *Registry          // nil has no types
	Keys      *secrets.Keyring   // nil: rows with secrets can be neither written nor read
	Checksums *hashlib.Checksums // nil is hashlib.Default
	Settings  *settings.Set      // for [DB.Settings]; nil has none
	Log       *slog.Logger       // nil discards
}

// TaskScope is the task that uses a handle.
type TaskScope struct {
	TaskID  uuid.UUID
	ClaimID uuid.UUID // under which the task is executed
	// Fence runs as the last statement of every transaction of the task; an error rolls back. It makes sure that a
	// task that was given up for dead cannot write any more.
	Fence func(ctx context.Context, q bun.IDB) error
}

// OpenDB connects to "sqlite:<path>" or "postgres://…". The handle has no domain yet: bring the schema up with
// [Migrate] or check it with [CheckSchema], then use [DB.InDomain]. The caller closes it.
//
// Errors: Invalid for a URL of another form, Unavailable if the database does not answer.
func OpenDB(ctx context.Context, url string, opts *DBOptions) (*DB, error) {
	if opts == nil {
		opts = &DBOptions{}
	}
	sh := &shared{
		registry: opts.Registry, keys: opts.Keys, checksums: opts.Checksums, settings: opts.Settings, log: opts.Log,
	}
	if sh.registry == nil {
		// Without sets there are no faults.
		sh.registry, _ = NewRegistry()
	}
	if sh.checksums == nil {
		sh.checksums = hashlib.Default()
	}
	if sh.log == nil {
		sh.log = slog.New(slog.DiscardHandler)
	}
	conn, err := sqldialect.Open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	sh.conn = conn
	return &DB{shared: sh, q: conn.Bun}, nil
}

// Close closes the connection pool and with it every handle. It may be called twice.
func (db *DB) Close() error { return db.conn.Close() }

// InDomain returns a handle bound to the named domain.
//
// Errors: NotFound.
func (db *DB) InDomain(ctx context.Context, name string) (*DB, error) {
	d := new(Domain)
	err := db.q.NewSelect().Model(d).Where("name = ?", name).Scan(ctx)
	if err != nil {
		return nil, rowError(err, "domain", name)
	}
	h := *db
	h.domain = d
	return &h, nil
}

// InDomainID is [DB.InDomain] for a domain known by its key.
//
// Errors: NotFound.
func (db *DB) InDomainID(ctx context.Context, id uuid.UUID) (*DB, error) {
	d := new(Domain)
	if err := db.q.NewSelect().Model(d).Where("pulp_id = ?", id).Scan(ctx); err != nil {
		return nil, rowError(err, "domain", id.String())
	}
	h := *db
	h.domain = d
	return &h, nil
}

// WithStore returns a handle that has a store. The handle of a task has the worker's, so that the hooks of a model,
// such as [VersionObserver], can write files.
func (db *DB) WithStore(store *storage.Store) *DB {
	h := *db
	h.store = store
	return &h
}

// Store returns the store given to [DB.WithStore], or nil.
func (db *DB) Store() *storage.Store { return db.store }

// Domain returns the domain the handle is bound to.
func (db *DB) Domain() *Domain { return db.domain }

// ForTask returns a handle whose transactions are fenced and whose creations are recorded for the task.
func (db *DB) ForTask(s *TaskScope) *DB {
	h := *db
	h.task = s
	return &h
}

// InTx reports whether the handle belongs to a [Tx].
func (db *DB) InTx() bool { return db.tx != nil }

// Task returns the task of the handle, or nil.
func (db *DB) Task() *TaskScope { return db.task }

// Bun returns bun's query builder on the pool, or on the transaction if db belongs to a [Tx]. Queries built with it do
// their own domain filtering.
func (db *DB) Bun() bun.IDB { return db.q }

// Conn returns the connection below, for packages that hold statements of their own in internal/sqldialect.
func (db *DB) Conn() *sqldialect.Conn { return db.conn }

// Registry returns the types of the handle.
func (db *DB) Registry() *Registry { return db.registry }

// Keys returns the keys that protect secrets at rest; nil if there are none.
func (db *DB) Keys() *secrets.Keyring { return db.keys }

// Log returns the logger of the handle; never nil.
func (db *DB) Log() *slog.Logger { return db.log }

// Settings returns the settings of the App that the handle belongs to, for [settings.Section.In]; nil if there are
// none.
func (db *DB) Settings() *settings.Set { return db.settings }

// Checksums returns the allowed checksums.
func (db *DB) Checksums() *hashlib.Checksums { return db.checksums }

// Domain is a tenant: rows of one domain are invisible in another. There is always one named "default".
type Domain struct {
	bun.BaseModel `bun:"table:core_domain,alias:dom" json:"-"`

	Base
	Name        string  `bun:"name"`
	Description *string `bun:"description"`
	Labels      Labels  `bun:"pulp_labels,type:jsonb"`
}

// DefaultDomain is the name of the domain that always exists.
const DefaultDomain = "default"
