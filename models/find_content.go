package models

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// FindContents finds units by their natural keys and overwrites each existing one with its row. It returns for each
// unit whether it exists.
func FindContents(ctx context.Context, db *DB, units []AnyContent) ([]bool, error) {
	exists := make([]bool, len(units))
	byType := map[*schema][]int{}
	for i, u := range units {
		s, err := db.registry.of(u)
		if err != nil {
			return nil, err
		}
		byType[s] = append(byType[s], i)
	}
	for s, indexes := range byType {
		for chunk := range slices.Chunk(indexes, batchSize) {
			batch := make([]AnyContent, len(chunk))
			for i, at := range chunk {
				batch[i] = units[at]
			}
			found, err := contentFinder{table{s, db}}.find(ctx, batch)
			if err != nil {
				return nil, err
			}
			for i, at := range chunk {
				if f := found[s.natural.text(batch[i])]; f != nil {
					copyRow(units[at], f)
					exists[at] = true
				}
			}
		}
	}
	return exists, nil
}

// contentFinder finds units of one type.
type contentFinder struct{ table }

// find reads units by natural key and updates their timestamps of interest.
func (f contentFinder) find(ctx context.Context, units []AnyContent) (map[string]AnyContent, error) {
	ids, err := f.findIDs(ctx, units)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	dest := reflect.New(reflect.SliceOf(reflect.PointerTo(f.goType)))
	// The condition stands for both tables. With one alone, a planner may read the other one as a whole.
	err = f.selectRows(dest.Interface()).Where("m.pulp_id IN (?)", bun.List(ids)).
		Where("d.pulp_id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil {
		return nil, rowError(err, f.name, "by natural key")
	}
	found := make(map[string]AnyContent, dest.Elem().Len())
	var stale []uuid.UUID
	now := Now()
	for i := range dest.Elem().Len() {
		u := dest.Elem().Index(i).Interface().(AnyContent)
		if err := f.unseal(u); err != nil {
			return nil, err
		}
		found[f.natural.text(u)] = u
		if now.Sub(u.AsContent().TimestampOfInterest) > interestInterval {
			stale = append(stale, u.PulpID())
		}
	}
	return found, f.touch(ctx, stale)
}

// findIDs returns the keys of those units that exist, in key order.
func (f contentFinder) findIDs(ctx context.Context, units []AnyContent) ([]uuid.UUID, error) {
	words := f.db.Conn().Kind.TemplateData()
	types := make([]string, len(f.natural))
	args := []any{bun.Ident(f.own), f.db.Domain().ID}
	var q strings.Builder
	// One subquery per unit: a planner that is asked for all units at once may read the whole table.
	q.WriteString("SELECT COALESCE((SELECT d.pulp_id FROM ? AS d WHERE d.pulp_domain_id = ?")
	for i, field := range f.natural {
		// Postgres cannot infer the types of VALUES from placeholders.
		types[i] = columnOf(field).in(words)
		fmt.Fprintf(&q, " AND d.? = k.column%d", i+1)
		args = append(args, bun.Ident(field.Column))
	}
	// A unit that does not exist would give NULL, which a UUID cannot hold.
	q.WriteString("), ?) FROM (" + f.db.Conn().Kind.Values(len(units), types...) + ") AS k")
	args = append(args, uuid.Nil)
	for _, u := range units {
		args = append(args, f.natural.values(u)...)
	}
	var ids []uuid.UUID
	if err := f.db.Bun().NewRaw(q.String(), args...).Scan(ctx, &ids); err != nil {
		return nil, rowError(err, f.name, "by natural key")
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.DeleteFunc(slices.Compact(ids), func(id uuid.UUID) bool { return id == uuid.Nil }), nil
}

// touch updates the timestamps of interest of units.
func (f contentFinder) touch(ctx context.Context, ids []uuid.UUID) error {
	if ids == nil {
		return nil
	}
	// The keys are sorted, so that two syncs of the same units tend to wait for each other. After a deadlock RetryTx runs
	// the transaction again.
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return f.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewUpdate().TableExpr("core_content").Set("timestamp_of_interest = ?", Now()).
			Where("pulp_id IN (?)", bun.List(ids)).Exec(ctx)
		return rowError(err, "content", "touch")
	})
}
