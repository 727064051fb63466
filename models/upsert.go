package models

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// upsert is insert-or-get, the one way to write rows that several writers may write at the same time: rows that do not
// exist are inserted, and existing rows are read. A conflict with another unique key than the one named is an error of
// kind Exists.
type upsert[T any] struct {
	what     string
	conflict []string        // columns of the unique key; nil: any, for a table whose keys all follow from one
	key      func(*T) string // unique key as text
	base     func(*T) *Base
	where    func(q *bun.SelectQuery, rows []*T) *bun.SelectQuery // selects the rows with the keys of rows
	adopt    func(mine, existing *T)                              // copies the existing row's values
	exists   func(*T) bool                                        // a guess; such rows are read first. Nil: none does
}

// onConflict returns the clause that passes over rows whose key is taken.
func onConflict(columns []string) string {
	if columns == nil {
		return "CONFLICT DO NOTHING"
	}
	return "CONFLICT (" + string(columnList(columns)) + ") DO NOTHING"
}

// columnList quotes columns for a statement.
func columnList(columns []string) bun.Safe {
	return bun.Safe(`"` + strings.Join(columns, `", "`) + `"`)
}

// keyed is a row with its key as text.
type keyed[T any] struct {
	key string
	row *T
}

// run writes at most batchSize rows within a transaction. Rows that share a key end up with the same identity.
func (u *upsert[T]) run(ctx context.Context, db *DB, rows []*T) error {
	first := make(map[string]*T, len(rows))
	unique := make([]keyed[T], 0, len(rows))
	var doubles []keyed[T]
	for _, r := range rows {
		k := keyed[T]{u.key(r), r}
		if first[k.key] == nil {
			first[k.key] = r
			unique = append(unique, k)
		} else {
			doubles = append(doubles, k)
		}
	}
	// Rows are inserted in the order of their keys, so that two writers with overlapping rows wait for each other instead
	// of deadlocking.
	slices.SortFunc(unique, func(a, b keyed[T]) int { return strings.Compare(a.key, b.key) })
	missing, err := u.lookFirst(ctx, db, unique)
	if err != nil {
		return err
	}
	if err := u.insert(ctx, db, missing); err != nil {
		return err
	}
	for _, d := range doubles {
		u.adopt(d.row, first[d.key])
	}
	return nil
}

// lookFirst reads the rows that may exist, and returns the rows that are still to be inserted.
func (u *upsert[T]) lookFirst(ctx context.Context, db *DB, rows []keyed[T]) (missing []keyed[T], err error) {
	if u.exists == nil {
		return rows, nil
	}
	var asked []keyed[T]
	for _, r := range rows {
		if u.exists(r.row) {
			asked = append(asked, r)
		}
	}
	found, err := u.read(ctx, db, asked)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(r keyed[T]) bool { return found[r.key] }), nil
}

// insert inserts rows, which are in key order, and reads the ones that another writer inserted.
func (u *upsert[T]) insert(ctx context.Context, db *DB, rows []keyed[T]) error {
	if len(rows) == 0 {
		return nil
	}
	fresh := make([]*T, len(rows))
	now := Now()
	for i, r := range rows {
		fresh[i] = r.row
		u.base(r.row).stamp(now)
	}
	var inserted []uuid.UUID
	_, err := db.q.NewInsert().Model(&fresh).On(onConflict(u.conflict)).Returning("pulp_id").Exec(ctx, &inserted)
	if err != nil {
		return rowError(err, u.what, "bulk insert")
	}
	if len(inserted) == len(rows) { // the usual case of a first sync
		return nil
	}
	isNew := make(map[uuid.UUID]bool, len(inserted))
	for _, id := range inserted {
		isNew[id] = true
	}
	old := slices.DeleteFunc(rows, func(r keyed[T]) bool { return isNew[u.base(r.row).ID] })
	found, err := u.read(ctx, db, old)
	if err == nil && len(found) < len(old) {
		// Deleted between the insert and the read. The transaction is run again and then inserts them.
		return errVanished
	}
	return err
}

// read lets the rows that exist adopt their values, and returns their keys.
func (u *upsert[T]) read(ctx context.Context, db *DB, asked []keyed[T]) (map[string]bool, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	rows, byKey := make([]*T, len(asked)), make(map[string]*T, len(asked))
	for i, r := range asked {
		rows[i], byKey[r.key] = r.row, r.row
	}
	var existing []*T
	if err := u.where(db.q.NewSelect().Model(&existing), rows).Scan(ctx); err != nil {
		return nil, rowError(err, u.what, "bulk read")
	}
	found := make(map[string]bool, len(existing))
	for _, e := range existing {
		k := u.key(e)
		// where may compare a part of the key only, and then finds rows that were not asked for.
		if mine := byKey[k]; mine != nil {
			u.adopt(mine, e)
			found[k] = true
		}
	}
	return found, nil
}
