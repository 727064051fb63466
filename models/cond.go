package models

import (
	"database/sql"
	"errors"

	"github.com/uptrace/bun"
)

// Cond narrows, orders or limits a query for rows of one type.
type Cond struct {
	expr          string // of Where; "" for the others
	args          []any
	apply         func(q *bun.SelectQuery, column func(string) bun.Safe) *bun.SelectQuery
	order         bool
	limit, offset int64
}

// Eq keeps rows whose column has the value.
func Eq(column string, value any) Cond {
	return Cond{apply: func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		return q.Where("? = ?", col(column), value)
	}}
}

// In keeps rows whose column has one of the values. Without values nothing is kept.
func In[V any](column string, values []V) Cond {
	return Cond{apply: func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		if len(values) == 0 {
			return q.Where("FALSE")
		}
		return q.Where("? IN (?)", col(column), bun.List(values))
	}}
}

// Where keeps rows for which an SQL expression holds. Placeholders are question marks. The master's columns can be
// qualified with m, the type's own with d: Where("m.name LIKE ?", "a%").
func Where(expr string, args ...any) Cond {
	return Cond{expr: expr, args: args, apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Where(expr, args...)
	}}
}

// SQL returns the expression and the arguments of a condition that was made with [Where], [InVersion], [AddedIn] or
// [RemovedIn], for queries of one's own in which m is the master's table. Of other conditions it returns nothing.
func (c Cond) SQL() (expr string, args []any) { return c.expr, c.args }

// OrderBy sorts by columns, those with a minus in front descending. Rows that are equal in them stay in key order.
func OrderBy(columns ...string) Cond {
	return Cond{order: true, apply: func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		for _, c := range columns {
			if c != "" && c[0] == '-' {
				q = q.OrderExpr("? DESC", col(c[1:]))
			} else {
				q = q.OrderExpr("? ASC", col(c))
			}
		}
		return q
	}}
}

// Limit keeps at most n rows.
func Limit(n int) Cond {
	return Cond{limit: int64(n), apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Limit(int64(n))
	}}
}

// Offset passes over the first n rows.
func Offset(n int) Cond {
	return Cond{order: true, offset: int64(n), apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Offset(int64(n))
	}}
}

// InVersion keeps content units that are members of a repository version.
func InVersion(v *RepositoryVersion) Cond {
	return Where(`m.pulp_id IN (SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?
		AND rc.version_added <= ? AND (rc.version_removed IS NULL OR rc.version_removed > ?))`,
		v.RepositoryID, v.Number, v.Number)
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
