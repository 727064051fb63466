package sqldialect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// Clock reads the clock of [Kind.Now].
func Clock(ctx context.Context, k Kind, idb bun.IDB) (time.Time, error) {
	if k == SQLite {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	var now time.Time
	err := idb.NewRaw("SELECT statement_timestamp()").Scan(ctx, &now)
	return now.UTC(), err
}

// LockTimeout bounds how long each of the transaction's further statements waits for a lock; waiting longer is an error
// that [IsRetryable]. SQLite's transactions wait for no lock once they have begun.
func LockTimeout(ctx context.Context, k Kind, tx bun.IDB, d time.Duration) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.NewRaw("SET LOCAL lock_timeout = ?", d.Milliseconds()).Exec(ctx)
	return err
}

// FollowIndex keeps Postgres, until the transaction ends, from sorting what an index has in order. Where it knows
// little of a table it would read and sort all rows of an index for each page.
func FollowIndex(ctx context.Context, k Kind, tx bun.IDB) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.NewRaw("SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off").Exec(ctx)
	return err
}

// Barrier waits until every transaction has ended that wrote to table, or tried to, before this call. It holds new
// writers of the table up until its own transaction ends, so q must be a transaction without other statements. On
// SQLite any transaction is such a barrier.
//
// Errors: an error of [IsLockTimeout] if a writer does not end within five seconds.
func Barrier(ctx context.Context, k Kind, q bun.IDB, table string) error {
	if k != Postgres {
		return nil
	}
	// New writers queue up behind this lock, also while it is only waited for.
	if _, err := q.NewRaw("SET LOCAL lock_timeout = '5s'").Exec(ctx); err != nil {
		return fmt.Errorf("database: barrier: %w", err)
	}
	// SHARE conflicts with the locks of writers, and not with those of readers.
	if _, err := q.NewRaw("LOCK TABLE ? IN SHARE MODE", bun.Ident(table)).Exec(ctx); err != nil {
		return fmt.Errorf("database: barrier: %w", err)
	}
	return nil
}

// Analyze renews what the planner knows about tables that grew a lot at once. Postgres would do it within minutes;
// until then it takes every column's values for rare and reads whole tables. SQLite's planner has statistics from the
// migrations. Tables that another session analyses, or that this role may not analyse, are skipped.
func Analyze(ctx context.Context, k Kind, db bun.IDB, tables ...string) error {
	if k == SQLite {
		return nil
	}
	if _, err := db.ExecContext(ctx, "ANALYZE (SKIP_LOCKED) "+strings.Join(tables, ", ")); err != nil {
		return fmt.Errorf("database: analyze: %w", err)
	}
	return nil
}

// LockMigrations makes tx the only transaction that changes the schema until it ends; the lock dies with its holder.
// On SQLite the transaction itself, begun IMMEDIATE, is that lock.
func LockMigrations(ctx context.Context, k Kind, tx bun.IDB) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", migrationLock)
	return err
}
