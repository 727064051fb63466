package sqldialect

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// Barrier waits until every transaction has ended that wrote to table, or tried to, before this call. It holds new
// writers of the table up until its own transaction ends, so q must be a transaction in which nothing else happens. On
// SQLite any transaction is such a barrier.
//
// Errors: one that [IsLockTimeout] knows if a writer does not end within five seconds.
func (k Kind) Barrier(ctx context.Context, q bun.IDB, table string) error {
	if k != Postgres {
		return nil
	}
	if _, err := q.NewRaw("SET LOCAL lock_timeout = '5s'").Exec(ctx); err != nil {
		return fmt.Errorf("database: barrier: %w", err)
	}
	if _, err := q.NewRaw("LOCK TABLE ? IN SHARE MODE", bun.Ident(table)).Exec(ctx); err != nil {
		return fmt.Errorf("database: barrier: %w", err)
	}
	return nil
}
