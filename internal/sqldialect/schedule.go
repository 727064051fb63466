package sqldialect

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// Clock reads the clock of [Kind.Now].
func (k Kind) Clock(ctx context.Context, idb bun.IDB) (time.Time, error) {
	if k == SQLite {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	var now time.Time
	err := idb.NewRaw("SELECT statement_timestamp()").Scan(ctx, &now)
	return now.UTC(), err
}

// LockTimeout bounds how long each of the transaction's further statements waits for a lock; waiting longer is an
// error that [IsRetryable]. SQLite's transactions wait for nothing once they have begun.
func (k Kind) LockTimeout(ctx context.Context, tx bun.IDB, d time.Duration) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.NewRaw("SET LOCAL lock_timeout = ?", d.Milliseconds()).Exec(ctx)
	return err
}
