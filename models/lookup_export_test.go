package models

import "context"

// ListPlanned is [Source.List] with a walk of the caller's choice.
func (s *Source) ListPlanned(ctx context.Context, db *DB, dir, after string, limit int, byPath bool, batch int,
) (*Listing, error) {
	plan := walkPlan{byPath: byPath, batch: batch}
	return listLevel(folderOf(dir), after, limit, batch, func(c cursor, n int) ([]pathRow, error) {
		return s.walk(ctx, db, plan, c, n)
	})
}
