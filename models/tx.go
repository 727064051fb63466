package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Tx is a transaction. Its embedded DB works inside it: pass tx.DB wherever a *DB is wanted.
type Tx struct {
	*DB
	afterCommit []func()
}

// AfterCommit registers fn to run once the outermost transaction has committed, not after a rollback. It may
// use the outer handle, also to open a transaction.
func (tx *Tx) AfterCommit(fn func()) { tx.afterCommit = append(tx.afterCommit, fn) }

// writerTimeout is how long a transaction of SQLite waits for the one writer that there may be.
const writerTimeout = time.Minute

var errWriterBusy = pulperr.Public(pulperr.Locked,
	"the database has been busy with other transactions for %v; try again", writerTimeout)

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
		// The end of a savepoint is no commit, so its hooks wait for the outermost transaction.
		db.tx.afterCommit = append(db.tx.afterCommit, tx.afterCommit...)
		return nil
	}
	// The hooks run when SQLite's only writer is free again, because they may be slow or write themselves.
	for _, hook := range tx.afterCommit {
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
		// The mark makes statements on handles from outside fail at once: they would wait for what this transaction holds.
		ctx = marked
		// The lock is in this process: SQLite itself has no fair queue of writers, and would let one of them starve.
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
		// Last, so that no statement comes after it. A savepoint needs no fence of its own, because the outer transaction has
		// one.
		if outer && db.task != nil && db.task.Fence != nil {
			return db.task.Fence(ctx, btx)
		}
		return nil
	})
}

// CheckOutside returns an error if ctx is that of an open transaction to which db does not belong. Code that works for
// the caller on another goroutine calls it first.
func (db *DB) CheckOutside(ctx context.Context) error {
	if db.tx != nil {
		return nil
	}
	return db.conn.CheckOutside(ctx)
}

// txAttempts is how often a transaction is run that fails for a reason which another run may not meet.
const txAttempts = 5

// RetryTx is [DB.Tx] for a closure that may run again from its start: it does, a few times, after a deadlock, a lock
// that was not granted, or a row that vanished while it was saved. On a handle that is already in a transaction it is
// Tx, because that transaction must start again as a whole.
func (db *DB) RetryTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.Tx(ctx, fn)
		again := sqldialect.IsRetryable(err) || errors.Is(err, errVanished)
		// Within another transaction it is not run again: that transaction keeps its earlier locks, which may be part of the
		// deadlock, and must start again as a whole.
		if err == nil || db.tx != nil || attempt == txAttempts || !again || ctx.Err() != nil {
			return err
		}
		db.log.DebugContext(ctx, "transaction is run again", "attempt", attempt, "err", err)
	}
}

// errVanished makes [DB.RetryTx] run a bulk write again.
var errVanished = errors.New("models: a row that was there when others were inserted is gone when it is read back: " +
	"another process keeps deleting it, or the database stores other values of its key than were given (look for " +
	"triggers, column types and collations of the plugin's table)")

// batchSize is how many rows go into one statement, and one transaction, of a bulk write.
const batchSize = 500

// eachBatch runs fn over n rows in transactions of batchSize rows, each run again after a deadlock.
func eachBatch(ctx context.Context, db *DB, n int, fn func(ctx context.Context, tx *Tx, from, to int) error) error {
	for from := 0; from < n; from += batchSize {
		to := min(from+batchSize, n)
		err := db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error { return fn(ctx, tx, from, to) })
		if err != nil {
			return err
		}
	}
	return nil
}

// rowError gives a database error its kind and names the row that it is about.
func rowError(err error, what, key string) error {
	return sqldialect.RowError("models", err, what, key)
}

// writeError is [rowError] for a row that is inserted or changed: a foreign key refuses it if what it refers to is not
// there.
func writeError(err error, what, key string) error {
	if sqldialect.IsReferenced(err) {
		public := pulperr.Public(pulperr.Invalid, "%s %q refers to a row that does not exist, or was deleted meanwhile",
			what, key)
		return fmt.Errorf("models: %w: %w", public, err)
	}
	return rowError(err, what, key)
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// affected returns how many rows a statement changed.
func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// uuidType returns the type of a key in a statement.
func uuidType(kind sqldialect.Kind) string { return kind.TemplateData()["uuid"].(string) }
