package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/storage"
)

// DB is a handle on the database that is bound to one domain: whatever is read through it belongs to that domain, and
// whatever is written through it will. Make other handles with [DB.InDomain]. It is safe for concurrent use.
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
	log       *slog.Logger
	locks     repositoryLocks
}

// DBOptions are the parts of a database handle that have defaults.
type DBOptions struct {
	Registry  *Registry          // nil knows no plugin
	Keys      *secrets.Keyring   // nil: rows with secrets can be neither written nor read
	Checksums *hashlib.Checksums // nil is hashlib.Default
	Log       *slog.Logger       // nil discards
}

// TaskScope ties a handle to the task that uses it.
type TaskScope struct {
	TaskID  uuid.UUID
	ClaimID uuid.UUID // under which the task is executed
	// Fence runs as the last statement of every transaction of the task; an error rolls back. It makes sure that a
	// task that was given up for dead cannot write any more.
	Fence func(ctx context.Context, q bun.IDB) error
}

// OpenDB connects to "sqlite:<path>" or "postgres://…". The handle has no domain yet: bring the schema up with
// [DB.Migrate] or check it with [DB.CheckSchema], then use [DB.InDomain]. The caller closes it.
//
// Errors: Invalid for a URL of another form, Unavailable if the database does not answer.
func OpenDB(ctx context.Context, url string, opts *DBOptions) (*DB, error) {
	if opts == nil {
		opts = &DBOptions{}
	}
	sh := &shared{registry: opts.Registry, keys: opts.Keys, checksums: opts.Checksums, log: opts.Log}
	if sh.registry == nil {
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

// Task returns what ties the handle to a task; nil if nothing does.
func (db *DB) Task() *TaskScope { return db.task }

// Bun returns bun's query builder on the pool, or on the transaction if db belongs to a [Tx]. Queries built with it do
// their own domain filtering.
func (db *DB) Bun() bun.IDB { return db.q }

// Conn returns the connection below, for packages that hold statements of their own in internal/sqldialect.
func (db *DB) Conn() *sqldialect.Conn { return db.conn }

// Registry returns the types the handle knows.
func (db *DB) Registry() *Registry { return db.registry }

// Keys returns the keys that protect secrets at rest; nil if there are none.
func (db *DB) Keys() *secrets.Keyring { return db.keys }

// Log returns the logger of the handle; never nil.
func (db *DB) Log() *slog.Logger { return db.log }

// Checksums returns the allowed checksums.
func (db *DB) Checksums() *hashlib.Checksums { return db.checksums }

// Tx is a transaction. Its embedded DB works inside it: pass tx.DB wherever a *DB is wanted.
type Tx struct {
	*DB
	afterCommit []func()
}

// AfterCommit registers fn to run once the outermost transaction has committed, not after a rollback. It may
// use the outer handle, also to open a transaction.
func (tx *Tx) AfterCommit(fn func()) { tx.afterCommit = append(tx.afterCommit, fn) }

// writerTimeout is how long a transaction waits for the one that SQLite allows at a time.
const writerTimeout = time.Minute

var errWriterBusy = pulperr.Public(pulperr.Locked, "the database has been busy with other transactions for %v",
	writerTimeout)

// Tx runs fn in a transaction and commits if it returns nil. Inside fn use its ctx and tx.DB; on a handle that is
// already in a transaction, Tx makes a savepoint. fn must not keep tx.
//
// With fn's ctx, every statement and transaction on a handle from outside fails at once, on both databases: it would
// not be part of the transaction, and wait for what the transaction itself holds.
//
// Errors: what fn returns; Locked if SQLite's single writer stays busy for a minute, Unavailable if all connections of
// the Postgres pool do.
func (db *DB) Tx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	tx := &Tx{}
	if err := db.runTx(ctx, tx, fn); err != nil {
		return err
	}
	if db.tx != nil {
		db.tx.afterCommit = append(db.tx.afterCommit, tx.afterCommit...)
		return nil
	}
	for _, hook := range tx.afterCommit { // the writer is free again: they may be slow or write themselves
		hook()
	}
	return nil
}

// runTx runs fn between begin and commit.
func (db *DB) runTx(ctx context.Context, tx *Tx, fn func(ctx context.Context, tx *Tx) error) error {
	outer := db.tx == nil
	if outer {
		marked, end, err := db.conn.MarkTx(ctx)
		if err != nil {
			return fmt.Errorf("models: begin transaction: %w", err)
		}
		defer end()
		ctx = marked
		wait, cancel := context.WithTimeoutCause(ctx, writerTimeout, errWriterBusy)
		unlock, err := db.conn.LockWriter(wait)
		cancel()
		if err != nil {
			return fmt.Errorf("models: begin transaction: %w", err)
		}
		defer unlock()
	}
	return db.q.RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
		h := *db
		h.q, h.tx = btx, tx
		tx.DB = &h
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if outer && db.task != nil && db.task.Fence != nil {
			return db.task.Fence(ctx, btx)
		}
		return nil
	})
}

// CheckOutside returns an error if ctx is that of an open transaction to which db does not belong. Code that works for
// the caller on another goroutine asks it first.
func (db *DB) CheckOutside(ctx context.Context) error {
	if db.tx != nil {
		return nil
	}
	return db.conn.CheckOutside(ctx)
}

// retryTx is Tx for closures that may run again from their start: after a deadlock or a lock that was not granted
// they do, a few times. Inside a transaction it does not retry, since the outer one must start again as a whole.
func (db *DB) retryTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	const attempts = 5
	for i := 1; ; i++ {
		err := db.Tx(ctx, fn)
		if err == nil || db.tx != nil || i == attempts || !retryable(err) || ctx.Err() != nil {
			return err
		}
		db.log.DebugContext(ctx, "transaction is run again", "attempt", i, "err", err)
	}
}

func retryable(err error) bool {
	return sqldialect.IsRetryable(err) || errors.Is(err, errVanished)
}

// rowError gives a database error its kind and names the row that it is about.
func rowError(err error, what, key string) error {
	return sqldialect.RowError("models", err, what, key)
}

// writeError is [rowError] for a row that is inserted or changed: a foreign key refuses it if what it refers to is not
// there.
func writeError(err error, what, key string) error {
	if sqldialect.IsReferenced(err) {
		public := pulperr.Public(pulperr.Invalid, "%s %q refers to something that does not exist, or not any more", what, key)
		return fmt.Errorf("models: %w: %w", public, err)
	}
	return rowError(err, what, key)
}
