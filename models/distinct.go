package models

import (
	"context"
	"iter"
	"slices"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// smallVersion is the number of units up to which the values of a version are read from its members. A larger version
// costs a look-up for each value that any unit of the type has.
const smallVersion = 10_000

// Distinct walks over the values of a column in the rows of a type for which all conditions hold: each value once, in
// ascending order, as the database sorts the column. NULL is left out. V is the Go type of the column, for example
// string for a *string field. The error, if any, comes last.
//
//	for name, err := range models.Distinct[string](ctx, db, Releases, "project", models.InVersion(v)) { … }
//
// The column should be the first natural key or the first column of an index that a tag asks for, see [Define]. Then
// the cost is one or two look-ups in that index for each value that the type has, however many rows have it. A value
// without a row for which the conditions hold costs a look-up for each of its rows. Memory holds 500 values.
//
// In three cases one statement reads rows, and memory holds all values: those of a version of at most 10,000 units,
// those for which a comparison of an indexed column with given values holds, as by [Eq], and all rows of the type if
// there is no such index on the column.
//
// Errors: Invalid for an unknown column, an encrypted one, and with [OrderBy], [Limit] or [Offset]; Unsupported if no
// plugin of the App has the type.
func Distinct[V, T any](ctx context.Context, db *DB, t *Type[T], column string, where ...Cond) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var zero V
		w, err := newValueWalk(t, db, column, where)
		if err != nil {
			yield(zero, err)
			return
		}
		next, err := w.plan(ctx)
		if err != nil {
			yield(zero, err)
			return
		}
		for last := any(nil); ; {
			page := []V{}
			if err := next(last).Scan(ctx, &page); err != nil && !isNoRows(err) {
				yield(zero, rowError(err, w.t.name, column))
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if !w.paged || len(page) < pageSize {
				return
			}
			last = page[len(page)-1]
		}
	}
}

// valueWalk reads the distinct values of one column.
type valueWalk struct {
	*query

	column bun.Safe // qualified
	index  valueIndex
	paged  bool // each statement reads a page, after the last value of the page before
}

func newValueWalk[T any](t *Type[T], db *DB, column string, where []Cond) (*valueWalk, error) {
	q, err := t.query(db, where)
	switch {
	case err != nil:
		return nil, err
	case !q.t.has(column):
		return nil, q.t.unknownColumn(column)
	case slices.ContainsFunc(q.t.secrets, func(f Field) bool { return f.Column == column }):
		return nil, pulperr.Public(pulperr.Invalid, "column %q of %s %s is encrypted, and has no values to compare", column,
			q.t.name, q.t.master)
	case q.orderBy != nil || q.limit > 0 || q.offset > 0:
		return nil, pulperr.Public(pulperr.Invalid, "distinct values of column %q of %s %s: OrderBy, Limit and Offset are "+
			"for rows; leave them out, and stop the walk after as many values as are wanted", column, q.t.name, q.t.master)
	}
	return &valueWalk{query: q, column: q.t.column(column), index: q.t.valueIndex(column)}, nil
}

// plan chooses the statements: each call of next returns the one for the values after last, which is nil at the start.
func (w *valueWalk) plan(ctx context.Context) (next func(last any) scanner, err error) {
	small, err := w.small(ctx)
	switch {
	case err != nil:
		return nil, err
	case w.exactOwn() && w.ownIndex() != noIndex:
		return w.all(w.query, w.from()), nil
	case small:
		members := *w.query
		members.members = nil // they are read first, and need not be compared again
		return w.all(&members, w.fromMembers()), nil
	case w.index == noIndex:
		sel := w.from()
		if !w.needsOwn() {
			sel = w.t.joinOwn(sel)
		}
		return w.all(w.query, sel), nil
	}
	w.paged = true
	return func(last any) scanner { return w.statement(last) }, nil
}

// scanner is a statement.
type scanner interface {
	Scan(ctx context.Context, dest ...any) error
}

// all returns one statement for the values of all rows that sel reads and the conditions of q leave.
func (w *valueWalk) all(q *query, sel *bun.SelectQuery) func(any) scanner {
	sel = q.narrow(sel).Where("? IS NOT NULL", w.column).ColumnExpr("DISTINCT ?", w.column).OrderExpr("1")
	return func(any) scanner { return sel }
}

// small reports whether the values are best read from the members of a version.
func (w *valueWalk) small(ctx context.Context) (bool, error) {
	t, v := w.t, w.members
	if v == nil || !v.Complete || t.own == "" {
		return false, nil
	}
	n, err := (&query{t: t, members: v}).count(ctx)
	return n <= smallVersion, rowError(err, t.name, "count")
}

// fromMembers starts a query that reads the members of the version first.
func (w *valueWalk) fromMembers() *bun.SelectQuery {
	t, v := w.t, w.members
	kind := t.db.Conn().Kind
	sel := t.db.Bun().NewSelect().TableExpr("("+membersSQL+") AS k", v.RepositoryID, v.Number, v.Number).
		Join(kind.JoinEach(t.master.Table(), "m", "m.pulp_id = k.content_id")).
		Join(kind.JoinEach(`"`+t.own+`"`, "d", "d.pulp_id = k.content_id"))
	return sel.Where("m.pulp_domain_id = ?", t.db.Domain().ID)
}

// statement returns the one for the next page of values: it jumps from value to value in the index, and looks for one
// row with the value for which the conditions hold.
func (w *valueWalk) statement(last any) scanner {
	t := w.t
	first := w.step()
	if last != nil {
		first = first.Where("? > ?", w.column, last)
	}
	// Neither database skips the other rows of a value by itself, not even for SELECT DISTINCT.
	return t.db.Bun().NewRaw("WITH RECURSIVE w(v) AS (SELECT (?) UNION ALL SELECT (?) FROM w WHERE w.v IS NOT NULL) "+
		"SELECT w.v FROM w WHERE w.v IS NOT NULL AND (?) = 1 LIMIT ?",
		first, w.step().Where("? > w.v", w.column), w.probe(), pageSize)
}

// step starts the query for the next value in the index, whatever the conditions.
func (w *valueWalk) step() *bun.SelectQuery {
	t := w.t
	sel := t.db.Bun().NewSelect().TableExpr("? AS d", bun.Ident(t.own)).ColumnExpr("?", w.column).
		Where("? IS NOT NULL", w.column).OrderExpr("?", w.column).Limit(1)
	if w.index == indexInDomain {
		sel = sel.Where("d.pulp_domain_id = ?", t.db.Domain().ID)
	}
	return sel
}

// probe returns the query for a row with the value w.v for which the conditions hold. It yields a number and is no
// EXISTS, which Postgres might turn into a join that reads the whole table.
func (w *valueWalk) probe() *bun.SelectQuery {
	t, domain := w.t, bun.Safe("d.pulp_domain_id")
	if w.index == indexAlone {
		domain = bun.Safe(unindexed("d.pulp_domain_id"))
	}
	// A range and an order, because for an equality Postgres reads the table from its start if the value is frequent.
	sel := t.db.Bun().NewSelect().TableExpr("? AS d", bun.Ident(t.own)).ColumnExpr("1").
		Where("? >= w.v", w.column).Where("? <= w.v", w.column).Where("? = ?", domain, t.db.Domain().ID).
		OrderExpr("?", w.column).Limit(1)
	if v := w.members; v != nil {
		sel = sel.Where(isMemberSQL("d"), v.RepositoryID, v.Number, v.Number)
	}
	if len(w.filters) == 0 {
		return sel
	}
	sel = sel.Join(t.db.Conn().Kind.JoinEach(t.master.Table(), "m", "m.pulp_id = d.pulp_id"))
	for _, c := range w.filters {
		sel = c.apply(sel, t.column)
	}
	return sel
}

// valueIndex is how an index of a type's own table finds the rows with a value.
type valueIndex int

const (
	noIndex       valueIndex = iota
	indexAlone               // it begins with the column
	indexInDomain            // it begins with the domain and the column
)

// valueIndex returns which index there is on a column.
func (s *schema) valueIndex(column string) valueIndex {
	found := noIndex
	for _, i := range (ownTable{s}).indexes() {
		switch {
		case i.columns[0] == column:
			found = indexAlone
		case i.columns[0] == "pulp_domain_id" && i.columns[1] == column:
			return indexInDomain
		}
	}
	return found
}
