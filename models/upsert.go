package models

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// batchSize is how many rows go into one statement, and one transaction, of a bulk write.
const batchSize = 200

// RetryTx is [DB.Tx] for a closure that may run again from its start: it does, a few times, after a deadlock, a lock
// that was not granted, or a row that vanished while it was saved. On a handle that is already in a transaction it is
// Tx, because that transaction must start again as a whole.
func (db *DB) RetryTx(ctx context.Context, fn func(tx *Tx) error) error { return db.retryTx(ctx, fn) }

// upsert is insert-or-get, the one way in which rows that others may be writing at the same time are written: rows
// that do not exist are inserted, for the others the existing row is read. Rows are always touched in the order of
// their keys, so that two writers with overlapping rows wait for each other instead of deadlocking.
type upsert[T any] struct {
	what  string
	key   func(*T) string // unique key as text
	base  func(*T) *Base
	where func(q *bun.SelectQuery, rows []*T) *bun.SelectQuery // selects the rows with the keys of rows
	adopt func(mine, existing *T)                              // takes over what the existing row knows
}

// run writes at most batchSize rows within a transaction. Rows that share a key end up with the same identity.
func (u *upsert[T]) run(ctx context.Context, db *DB, rows []*T) error {
	if len(rows) == 0 {
		return nil
	}
	first := make(map[string]*T, len(rows))
	unique := make([]*T, 0, len(rows))
	now := Now()
	for _, r := range rows {
		k := u.key(r)
		if first[k] == nil {
			first[k] = r
			unique = append(unique, r)
			u.base(r).stamp(now)
		}
	}
	slices.SortFunc(unique, func(a, b *T) int { return strings.Compare(u.key(a), u.key(b)) })
	var inserted []uuid.UUID
	_, err := db.q.NewInsert().Model(&unique).On("CONFLICT DO NOTHING").Returning("pulp_id").Exec(ctx, &inserted)
	if err != nil {
		return rowError(err, u.what, "bulk insert")
	}
	if len(inserted) < len(unique) {
		if err := u.readBack(ctx, db, unique, inserted); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if f := first[u.key(r)]; f != r {
			u.adopt(r, f)
		}
	}
	return nil
}

func (u *upsert[T]) readBack(ctx context.Context, db *DB, unique []*T, inserted []uuid.UUID) error {
	isNew := make(map[uuid.UUID]bool, len(inserted))
	for _, id := range inserted {
		isNew[id] = true
	}
	old := make(map[string]*T)
	var asked []*T
	for _, r := range unique {
		if !isNew[u.base(r).ID] {
			old[u.key(r)] = r
			asked = append(asked, r)
		}
	}
	var found []*T
	if err := u.where(db.q.NewSelect().Model(&found), asked).Scan(ctx); err != nil {
		return rowError(err, u.what, "bulk read")
	}
	for _, f := range found {
		if mine := old[u.key(f)]; mine != nil {
			u.adopt(mine, f)
			delete(old, u.key(f))
		}
	}
	if len(old) > 0 {
		// Deleted between the insert and the read. The transaction is run again and then inserts them.
		return errVanished
	}
	return nil
}
