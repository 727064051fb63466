// Package taskdb holds the statements on the tables of tasks: core_task, core_taskresource, core_worker,
// core_taskschedule and their neighbours. Every statement that decides the state of a task is in this package.
//
// A function takes the connection or the transaction in which its statements run, see [Conn]. Its comment names the
// locks that the caller has to hold, and whether it needs a transaction.
package taskdb

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Conn is a database or one of its transactions, with the words of its dialect.
type Conn struct {
	bun.IDB
	sqldialect.Kind
}

// On returns the connection of a handle: the transaction that it belongs to, or the pool.
func On(db *models.DB) Conn { return Conn{db.Bun(), db.Conn().Kind} }

// txAttempts is how often a transaction is run at most if the database ends it because of a deadlock.
const txAttempts = 5

// Tx runs fn in a transaction, and again after a deadlock. In a handle that belongs to a transaction it is a part of
// that one.
func Tx(ctx context.Context, db *models.DB, fn func(ctx context.Context, tx *models.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.Tx(ctx, fn)
		// A lock timeout is retryable too, but the caller has waited long enough by then.
		again := sqldialect.IsRetryable(err) && !sqldialect.IsLockTimeout(err)
		if err == nil || !again || attempt == txAttempts || ctx.Err() != nil {
			return err
		}
	}
}

// Write runs statements that need no transaction on Postgres. On SQLite they get one, because only a transaction waits
// for the writer.
func Write(ctx context.Context, db *models.DB, fn func(c Conn) error) error {
	if db.Conn().Kind == sqldialect.Postgres {
		return fn(On(db))
	}
	return Tx(ctx, db, func(_ context.Context, tx *models.Tx) error { return fn(On(tx.DB)) })
}

// Exec runs one statement and returns how many rows it changed.
func Exec(ctx context.Context, c Conn, statement string, args ...any) (int64, error) {
	res, err := c.NewRaw(statement, args...).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Wrap adds the operation and the kind to an error of the database: Locked if another transaction was in the way,
// Unavailable if the database did not answer.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	switch {
	case sqldialect.IsRetryable(err):
		return fmt.Errorf("tasking: %s: %w: %w", what, pulperr.Locked, err)
	case sqldialect.IsUnavailable(err):
		return fmt.Errorf("tasking: %s: %w: %w", what, pulperr.Unavailable, err)
	}
	return fmt.Errorf("tasking: %s: %w", what, err)
}

// ExecTx is [Exec] in a transaction of its own, which has the fence of a task's handle.
func ExecTx(ctx context.Context, db *models.DB, statement string, args ...any) (affected int64, err error) {
	err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		affected, err = Exec(ctx, On(tx.DB), statement, args...)
		return err
	})
	return affected, err
}
