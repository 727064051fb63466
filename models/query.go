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

// rows returns the query for all columns of a page.
func (q *query) rows(db *DB, dest any) *bun.SelectQuery {
	sel := db.selectRows(q.s, dest)
	descending, byKey := q.keyOrder()
	if !byKey || q.limit == 0 || q.members == nil || len(q.filters) > 0 || q.s.detail == "" {
		return q.page(q.narrow(db, sel))
	}
	// The page is made of keys alone, in the order of the membership's primary key.
	page := db.q.NewSelect().TableExpr("core_repositorycontent AS rc").ColumnExpr("rc.content_id AS pulp_id").
		Where("rc.repository_id = ?", q.members.RepositoryID).Where("rc.version_added <= ?", q.members.Number).
		Where("(rc.version_removed IS NULL OR rc.version_removed > ?)", q.members.Number).
		Where("EXISTS (SELECT 1 FROM ? AS x WHERE x.pulp_id = rc.content_id)", bun.Ident(q.s.detail))
	if q.after != uuid.Nil {
		page = page.Where("rc.content_id > ?", q.after)
	}
	page = page.OrderExpr("rc.content_id ?", direction(descending)).Limit(q.limit).Offset(q.offset)
	return sel.Where("m.pulp_id IN (SELECT page.pulp_id FROM (?) AS page)", page).
		OrderExpr("m.pulp_id ?", direction(descending))
}

// keys returns the query for the keys alone.
func (q *query) keys(db *DB) *bun.SelectQuery {
	sel := db.selectMaster(q.s, (*Base)(nil)).ColumnExpr("m.pulp_id")
	if q.needsDetail() {
		sel = db.joinDetail(q.s, sel)
	}
	return q.page(q.narrow(db, sel))
}

// count returns how many rows there are, whatever the limit.
func (q *query) count(ctx context.Context, db *DB) (int64, error) {
	if q.members != nil && q.members.Complete && len(q.filters) == 0 && q.after == uuid.Nil {
		var n int64
		err := db.q.NewSelect().TableExpr("core_repositoryversioncount").ColumnExpr("COALESCE(SUM(present), 0)").
			Where("version_id = ?", q.members.ID).Where("pulp_type = ?", q.s.name).Scan(ctx, &n)
		return n, err
	}
	sel := db.selectMaster(q.s, (*Base)(nil))
	if q.needsDetail() {
		sel = db.joinDetail(q.s, sel)
	}
	return q.narrow(db, sel).Count(ctx)
}

// narrow adds the filters.
func (q *query) narrow(db *DB, sel *bun.SelectQuery) *bun.SelectQuery {
	for _, c := range q.filters {
		sel = c.apply(sel, q.s.column)
	}
	if q.after != uuid.Nil {
		sel = sel.Where("m.pulp_id > ?", q.after)
	}
	switch v := q.members; {
	case v == nil:
	case slices.ContainsFunc(q.filters, func(c Cond) bool { return c.exact }):
		// Few rows are left: each is looked for among the members.
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
func (q *query) needsDetail() bool {
	needs := false
	column := func(name string) bun.Safe {
		c := q.s.column(name)
		needs = needs || strings.HasPrefix(string(c), "d.")
		return c
	}
	var ignored bun.SelectQuery
	for _, c := range slices.Concat(q.filters, q.orderBy) {
		if c.expr == "" {
			c.apply(&ignored, column)
		}
		needs = needs || strings.Contains(c.expr, "d.")
	}
	return needs
}

func direction(descending bool) bun.Safe {
	if descending {
		return "DESC"
	}
	return "ASC"
}
