package models

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// query is what a list of conditions asks of one type. It says in which way the database has to go, for without fresh
// statistics, and on SQLite always, the planner's own choice reads a whole version for one page or one path.
type query struct {
	s             *schema
	filters       []Cond             // all that narrow, but members and after
	members       *RepositoryVersion // nil: not narrowed to a version
	after         uuid.UUID
	orderBy       []Cond
	limit, offset int64
}

func newQuery(s *schema, where []Cond) *query {
	q := &query{s: s}
	for _, c := range where {
		switch {
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
	return q
}

// byKeys reports whether a page is best read by its keys, which an index yields in their order.
func (q *query) byKeys() bool {
	_, byKey := q.keyOrder()
	return byKey && q.limit > 0 && !q.needsDetail()
}

// rows returns the query for all columns of a page.
func (q *query) rows(db *DB, dest any) *bun.SelectQuery {
	sel := db.selectRows(q.s, dest)
	if q.exactDetail() {
		sel = db.columnsOf(q.s, db.detailFirst(q.s, dest))
	}
	return q.page(q.narrow(sel))
}

// keys returns the query for the keys of a page alone.
func (q *query) keys(db *DB) *bun.SelectQuery {
	if q.members != nil && len(q.filters) == 0 && q.byKeys() && q.s.detail != "" {
		return q.memberKeys(db)
	}
	return q.page(q.narrow(q.from(db).ColumnExpr("m.pulp_id")))
}

// from starts a query for keys, or for how many there are.
func (q *query) from(db *DB) *bun.SelectQuery {
	switch {
	case q.exactDetail():
		return db.detailFirst(q.s, (*Base)(nil))
	case q.needsDetail():
		return db.joinDetail(q.s, db.selectMaster(q.s, (*Base)(nil)))
	}
	return db.selectMaster(q.s, (*Base)(nil))
}

// memberKeys returns the query for a page of a version's members, in the order of the membership's primary key. The
// repository stands in comparisons of rows, and the numbers in conditions that are IS NOT TRUE: Postgres, as long as it
// knows little of the table, takes their plain forms for so selective that it would read and sort all members for each
// page.
func (q *query) memberKeys(db *DB) *bun.SelectQuery {
	descending, _ := q.keyOrder()
	repository, first, within, bound := q.members.RepositoryID, q.after, ">", "<="
	if descending {
		first, within, bound = uuid.Max, "<", ">="
	}
	sel := db.q.NewSelect().TableExpr("core_repositorycontent AS rc").ColumnExpr("rc.content_id").
		Join(db.conn.Kind.JoinEach(`"`+q.s.detail+`"`, "d", "d.pulp_id = rc.content_id")).
		Where("(rc.repository_id, rc.content_id) ? (?, ?)", bun.Safe(within), repository, first).
		Where("rc.repository_id ? ?", bun.Safe(bound), repository).
		Where("(rc.version_added > ?) IS NOT TRUE", q.members.Number).
		Where("(rc.version_removed <= ?) IS NOT TRUE", q.members.Number)
	if descending && q.after != uuid.Nil {
		sel = sel.Where("rc.content_id > ?", q.after)
	}
	return sel.OrderExpr("rc.repository_id ?0, rc.content_id ?0", direction(descending)).Limit(q.limit).Offset(q.offset)
}

// count returns how many rows there are, whatever the limit.
func (q *query) count(ctx context.Context, db *DB) (int64, error) {
	if q.members != nil && q.members.Complete && len(q.filters) == 0 && q.after == uuid.Nil {
		var n int64
		err := db.q.NewSelect().TableExpr("core_repositoryversioncount").ColumnExpr("COALESCE(SUM(present), 0)").
			Where("version_id = ?", q.members.ID).Where("pulp_type = ?", q.s.name).Scan(ctx, &n)
		return n, err
	}
	return q.narrow(q.from(db)).Count(ctx)
}

// narrow adds the filters.
func (q *query) narrow(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range q.filters {
		sel = c.apply(sel, q.s.column)
	}
	if q.after != uuid.Nil {
		sel = sel.Where("m.pulp_id > ?", q.after)
	}
	switch v := q.members; {
	case v == nil:
	case slices.ContainsFunc(q.filters, isExact): // few rows are left: each is looked for among the members
		sel = sel.Where("EXISTS ("+membersSQL+" AND rc.content_id = m.pulp_id)", v.RepositoryID, v.Number, v.Number)
	default:
		sel = sel.Where("m.pulp_id IN ("+membersSQL+")", v.RepositoryID, v.Number, v.Number)
	}
	return sel
}

// page adds order and limits.
func (q *query) page(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range q.orderBy {
		sel = c.apply(sel, q.s.column)
	}
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

// needsDetail reports whether a filter or the order is about the type's own columns.
func (q *query) needsDetail() bool { return q.aboutDetail(slices.Concat(q.filters, q.orderBy)) }

// exactDetail reports whether one of the type's own columns is compared with given values, so that an index of the
// plugin may be of use.
func (q *query) exactDetail() bool {
	return slices.ContainsFunc(q.filters, func(c Cond) bool { return isExact(c) && q.aboutDetail([]Cond{c}) })
}

func (q *query) aboutDetail(conds []Cond) bool {
	needs := false
	column := func(name string) bun.Safe {
		c := q.s.column(name)
		needs = needs || strings.HasPrefix(string(c), "d.")
		return c
	}
	var ignored bun.SelectQuery
	for _, c := range conds {
		if c.expr == "" {
			c.apply(&ignored, column)
		}
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
