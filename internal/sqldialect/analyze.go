package sqldialect

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
)

// Analyze renews what the planner knows about tables that grew a lot at once. Postgres would do it within minutes;
// until then it takes every column's values for rare and reads whole tables. SQLite's planner has been told by the
// migrations. Tables that another session analyses, or that this role may not analyse, are skipped.
func (k Kind) Analyze(ctx context.Context, db bun.IDB, tables ...string) error {
	if k == SQLite {
		return nil
	}
	if _, err := db.ExecContext(ctx, "ANALYZE (SKIP_LOCKED) "+strings.Join(tables, ", ")); err != nil {
		return fmt.Errorf("database: analyze: %w", err)
	}
	return nil
}
