package models

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// pageSize is how many rows a query reads at a time when it walks over many.
const pageSize = 500

// Get returns the row with a key.
//
// Errors: NotFound.
func (t *Type[T]) Get(ctx context.Context, db *DB, r Ref[T]) (*T, error) {
	return t.One(ctx, db, Eq("pulp_id", r.ID))
}

// One returns the first row for which all conditions hold.
//
// Errors: NotFound.
func (t *Type[T]) One(ctx context.Context, db *DB, where ...Cond) (*T, error) {
	rows, err := t.List(ctx, db, append(slices.Clone(where), Limit(1))...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("models: no %s %s matches: %w", t.def.name, t.def.master, pulperr.NotFound)
	}
	return rows[0], nil
}

// List returns the rows for which all conditions hold, by key unless ordered otherwise. Use [Type.All] where their
// number has no bound.
func (t *Type[T]) List(ctx context.Context, db *DB, where ...Cond) ([]*T, error) {
	q, err := t.query(db, where)
	if err != nil {
		return nil, err
	}
	rows, err := readRows[T](ctx, q)
	if err != nil {
		return nil, rowError(err, q.t.name, string(q.t.master))
	}
	for _, row := range rows {
		if err := q.t.unseal(any(row).(Row)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// query returns what the conditions ask of the type.
//
// Errors: Unsupported if no plugin of the App has the type, Invalid for an unknown column.
func (t *Type[T]) query(db *DB, where []Cond) (*query, error) {
	s, err := db.registry.ofType(t.def)
	if err != nil {
		return nil, err
	}
	return newQuery(table{s, db}, where)
}

// readRows reads a page: by its keys if they can be found without the type's own table, else in one statement.
func readRows[T any](ctx context.Context, q *query) ([]*T, error) {
	var rows []*T
	if !q.byKeys() {
		if err := q.rows(&rows).Scan(ctx); err != nil && !isNoRows(err) {
			return nil, err
		}
		return rows, nil
	}
	var keys []uuid.UUID
	if err := q.keys().Scan(ctx, &keys); err != nil && !isNoRows(err) {
		return nil, err
	}
	// Values needs at least one row.
	if len(keys) == 0 {
		return nil, nil
	}
	if err := q.t.selectKeys(&rows, keys).Scan(ctx); err != nil && !isNoRows(err) {
		return nil, err
	}
	return arrange(rows, keys), nil
}

// All walks over the rows for which all conditions hold, in key order unless ordered otherwise. It holds one page in
// memory and no cursor in the database. With [OrderBy], [Limit] or [Offset] it first reads the keys of all rows, 16
// bytes each. The error, if any, comes last.
func (t *Type[T]) All(ctx context.Context, db *DB, where ...Cond) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		pages := t.pagesByKey
		if slices.ContainsFunc(where, func(c Cond) bool { return c.orderBy != nil || c.limit > 0 || c.offset > 0 }) {
			pages = t.pagesInOrder
		}
		for rows, err := range pages(ctx, db, where) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// pagesByKey reads pages in key order, each from the last key on.
func (t *Type[T]) pagesByKey(ctx context.Context, db *DB, where []Cond) iter.Seq2[[]*T, error] {
	return func(yield func([]*T, error) bool) {
		var last uuid.UUID
		for more := true; more; {
			page := append(slices.Clone(where), Limit(pageSize))
			if last != uuid.Nil {
				page = append(page, after(last))
			}
			rows, err := t.List(ctx, db, page...)
			if !yield(rows, err) || err != nil {
				return
			}
			// Each page starts after the last key. An offset reads all rows before it, and skips rows if others were deleted.
			if more = len(rows) == pageSize; more {
				last = any(rows[len(rows)-1]).(Row).PulpID()
			}
		}
	}
}

// pagesInOrder reads the keys in their order, and then the rows page by page. Rows that are deleted meanwhile are left
// out.
func (t *Type[T]) pagesInOrder(ctx context.Context, db *DB, where []Cond) iter.Seq2[[]*T, error] {
	return func(yield func([]*T, error) bool) {
		q, err := t.query(db, where)
		if err != nil {
			yield(nil, err)
			return
		}
		// All keys at once: with an offset for each page, the time would grow with the square of the number of rows.
		var keys []uuid.UUID
		if err := q.keys().Scan(ctx, &keys); err != nil && !isNoRows(err) {
			yield(nil, rowError(err, q.t.name, string(q.t.master)))
			return
		}
		for page := range slices.Chunk(keys, pageSize) {
			rows, err := t.List(ctx, db, In("pulp_id", page))
			if err == nil {
				rows = arrange(rows, page)
			}
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

// arrange sorts rows as their keys are.
func arrange[T any](rows []*T, keys []uuid.UUID) []*T {
	place := make(map[uuid.UUID]int, len(keys))
	for i, key := range keys {
		place[key] = i
	}
	slices.SortFunc(rows, func(a, b *T) int {
		return place[any(a).(Row).PulpID()] - place[any(b).(Row).PulpID()]
	})
	return rows
}

// Count returns how many rows there are for which all conditions hold.
func (t *Type[T]) Count(ctx context.Context, db *DB, where ...Cond) (int64, error) {
	q, err := t.query(db, where)
	if err != nil {
		return 0, err
	}
	n, err := q.count(ctx)
	return n, rowError(err, q.t.name, "count")
}

// Create inserts a row in the handle's domain, making its key and times. A repository gets its empty version 0.
//
// Errors: Exists if a unique column is taken; Invalid from the row's Validate method.
func (t *Type[T]) Create(ctx context.Context, db *DB, row *T) error {
	return Create(ctx, db, any(row).(Row))
}

// Update writes the named columns of a row. The others keep what the database has, which other writers may have changed
// since the row was read.
//
// Errors: NotFound, Exists; Invalid for an unknown column and from the row's Validate method.
func (t *Type[T]) Update(ctx context.Context, db *DB, row *T, column string, more ...string) error {
	return Update(ctx, db, any(row).(Row), append([]string{column}, more...)...)
}

// Delete removes a row; see [Delete].
//
// Errors: NotFound; Conflict if a row that must not disappear refers to it; Locked.
func (t *Type[T]) Delete(ctx context.Context, db *DB, r Ref[T]) error {
	s, err := db.registry.ofType(t.def)
	if err != nil {
		return err
	}
	return deleteWhole(ctx, table{s, db}, r.ID)
}
