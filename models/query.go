package models

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// query is a list of conditions on the rows of one type. It chooses the order in which the database reads the tables:
// without fresh statistics, and always on SQLite, the planner would read a whole version for one page or one path.
type query struct {
	t             table
	filters       []Cond             // all that narrow, but members and after
	members       *RepositoryVersion // nil: not narrowed to a version
	after         uuid.UUID
	orderBy       []Cond
	limit, offset int64
}

// newQuery sorts conditions by what they do.
//
// Errors: Invalid for a column that the type does not have.
func newQuery(t table, where []Cond) (*query, error) {
	q := &query{t: t}
	for _, c := range where {
		for _, name := range c.columns {
			if !t.has(name) {
				return nil, t.unknownColumn(name)
			}
		}
		switch {
		// A second version becomes a filter, because the pages follow the members of one version.
		case c.members != nil && q.members == nil:
			q.members = c.members
		case c.after != uuid.Nil:
			q.after = c.after
		case c.orderBy != nil:
			q.orderBy = append(q.orderBy, c)
		case c.limit > 0:
			q.limit = max(q.limit, c.limit)
		case c.offset > 0:
			q.offset = max(q.offset, c.offset)
		default:
			q.filters = append(q.filters, c)
		}
	}
	return q, nil
}

// byKeys reports whether a page is best read by its keys, which an index yields in their order.
func (q *query) byKeys() bool {
	_, byKey := q.keyOrder()
	return byKey && q.limit > 0 && !q.needsOwn()
}

// rows returns the query for all columns of a page.
func (q *query) rows(dest any) *bun.SelectQuery {
	sel := q.t.selectRows(dest)
	// An index of the plugin's table finds the few rows. A planner without statistics would begin with all rows of the
	// type.
	if q.exactOwn() {
		sel = q.t.allColumns(q.t.selectOwnFirst(dest, q.ownIndex()))
	}
	return q.page(q.narrow(sel))
}

// keys returns the query for the keys of a page alone.
func (q *query) keys() *bun.SelectQuery {
	if q.members != nil && len(q.filters) == 0 && q.byKeys() && q.t.own != "" {
		return q.memberKeys()
	}
	return q.page(q.narrow(q.from().ColumnExpr("m.pulp_id")))
}

// from starts a query for keys, or for how many there are.
func (q *query) from() *bun.SelectQuery {
	switch {
	case q.exactOwn():
		return q.t.selectOwnFirst((*Base)(nil), q.ownIndex())
	case q.needsOwn():
		return q.t.joinOwn(q.t.selectMaster((*Base)(nil)))
	}
	return q.t.selectMaster((*Base)(nil))
}

// memberKeys returns the query for a page of a version's members, in the order of the membership's primary key.
func (q *query) memberKeys() *bun.SelectQuery {
	descending, _ := q.keyOrder()
	repository, first, within, bound := q.members.RepositoryID, q.after, ">", "<="
	if descending {
		first, within, bound = uuid.Max, "<", ">="
	}
	// The repository is in comparisons of rows: an equality with it alone is estimated as if few rows had it, see
	// planner.go.
	sel := q.t.db.Bun().NewSelect().TableExpr("core_repositorycontent AS rc").ColumnExpr("rc.content_id").
		Join(q.t.db.Conn().Kind.JoinEach(`"`+q.t.own+`"`, "d", "d.pulp_id = rc.content_id")).
		Where("(rc.repository_id, rc.content_id) ? (?, ?)", bun.Safe(within), repository, first).
		Where("rc.repository_id ? ?", bun.Safe(bound), repository).
		Where(unestimatedUnless("rc.version_added > ?"), q.members.Number).
		Where(unestimatedUnless("rc.version_removed <= ?"), q.members.Number)
	if descending && q.after != uuid.Nil {
		sel = sel.Where("rc.content_id > ?", q.after)
	}
	return sel.OrderExpr("rc.repository_id ?0, rc.content_id ?0", direction(descending)).Limit(q.limit).Offset(q.offset)
}

// count returns how many rows there are, whatever the limit.
func (q *query) count(ctx context.Context) (int64, error) {
	// The counts that are kept with every complete version save reading its members.
	if q.members != nil && q.members.Complete && len(q.filters) == 0 && q.after == uuid.Nil {
		var n int64
		err := q.t.db.Bun().NewSelect().TableExpr("core_repositoryversioncount").ColumnExpr("COALESCE(SUM(present), 0)").
			Where("version_id = ?", q.members.ID).Where("pulp_type = ?", q.t.name).Scan(ctx, &n)
		return n, err
	}
	return q.narrow(q.from()).Count(ctx)
}

// narrow adds the filters.
func (q *query) narrow(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range q.filters {
		sel = c.apply(sel, q.t.column)
	}
	if q.after != uuid.Nil {
		sel = sel.Where("m.pulp_id > ?", q.after)
	}
	switch v := q.members; {
	case v == nil:
	case slices.ContainsFunc(q.filters, isExact): // few rows are left: each is looked for among the members
		sel = sel.Where(isMemberSQL("m"), v.RepositoryID, v.Number, v.Number)
	default:
		sel = sel.Where("m.pulp_id IN ("+membersSQL+")", v.RepositoryID, v.Number, v.Number)
	}
	return sel
}

// page adds order and limits.
func (q *query) page(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range q.orderBy {
		sel = c.apply(sel, q.t.column)
	}
	// The key comes last, so that the order is total and pages do not overlap.
	if _, byKey := q.keyOrder(); !byKey || len(q.orderBy) == 0 {
		sel = sel.OrderExpr("m.pulp_id")
	}
	limit := q.limit
	if q.offset > 0 && limit == 0 {
		limit = math.MaxInt32 // SQLite has no OFFSET without LIMIT
	}
	return sel.Limit(limit).Offset(q.offset)
}

// keyOrder reports whether the rows are ordered by their key, and in which direction.
func (q *query) keyOrder() (descending, byKey bool) {
	var columns []string
	for _, c := range q.orderBy {
		columns = append(columns, c.orderBy...)
	}
	if len(columns) == 0 {
		return false, true
	}
	name, descending := strings.CutPrefix(columns[0], "-")
	return descending, name == "pulp_id"
}

// needsOwn reports whether a filter or the order is about the type's own columns.
func (q *query) needsOwn() bool { return q.aboutOwn(slices.Concat(q.filters, q.orderBy)) }

// exactOwn reports whether one of the type's own columns is compared with given values, so that an index of the
// plugin may be of use.
func (q *query) exactOwn() bool {
	return slices.ContainsFunc(q.filters, func(c Cond) bool { return isExact(c) && q.aboutOwn([]Cond{c}) })
}

// ownIndex returns which index finds the rows for which the comparisons with given values hold.
func (q *query) ownIndex() valueIndex {
	best := noIndex
	for _, c := range q.filters {
		if !isExact(c) {
			continue
		}
		name, _, _ := strings.Cut(c.expr, " ")
		names := append(slices.Clone(c.columns), strings.Trim(strings.TrimPrefix(name, "d."), `"`))
		for _, n := range names {
			best = max(best, q.t.valueIndex(n))
		}
	}
	return best
}

func (q *query) aboutOwn(conds []Cond) bool {
	needs := false
	column := func(name string) bun.Safe {
		c := q.t.column(name)
		needs = needs || strings.HasPrefix(string(c), "d.")
		return c
	}
	// The conditions are applied only to learn which columns they name. The query itself is not used.
	var ignored bun.SelectQuery
	for _, c := range conds {
		if c.expr == "" {
			c.apply(&ignored, column)
		}
		// The text may also match within another word. That costs a needless join, but a missed reference would make the
		// query fail.
		needs = needs || strings.Contains(c.expr, "d.")
	}
	return needs
}

func isExact(c Cond) bool { return c.exact }

func direction(descending bool) bun.Safe {
	if descending {
		return "DESC"
	}
	return "ASC"
}
