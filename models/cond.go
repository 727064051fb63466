package models

import (
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Cond narrows, orders or limits a query for rows of one type.
type Cond struct {
	expr          string // of Where; "" for the others
	args          []any
	apply         func(q *bun.SelectQuery, column func(string) bun.Safe) *bun.SelectQuery
	columns       []string           // of Eq, In and OrderBy, without a minus
	exact         bool               // compares a column with given values
	members       *RepositoryVersion // of InVersion
	after         uuid.UUID          // of after
	orderBy       []string
	limit, offset int64
}

// Eq keeps rows whose column has the value.
func Eq(column string, value any) Cond {
	apply := func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		return q.Where("? = ?", col(column), value)
	}
	return Cond{columns: []string{column}, exact: true, apply: apply}
}

// In keeps rows whose column has one of the values. Without values nothing is kept.
func In[V any](column string, values []V) Cond {
	apply := func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		if len(values) == 0 {
			// IN () is a syntax error on Postgres.
			return q.Where("FALSE")
		}
		return q.Where("? IN (?)", col(column), bun.List(values))
	}
	return Cond{columns: []string{column}, exact: true, apply: apply}
}

// Where keeps rows for which an SQL expression holds. Placeholders are question marks. The master's columns can be
// qualified with m, the type's own with d: Where("m.name LIKE ?", "a%").
func Where(expr string, args ...any) Cond {
	c := Cond{expr: expr, args: args, exact: exactExpr.MatchString(expr)}
	c.apply = func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery { return q.Where(expr, args...) }
	return c
}

// SQL returns the expression and the arguments of a condition that was made with [Where], [InVersion], [AddedIn] or
// [RemovedIn], for other queries, in which m is the master's table. Of other conditions it returns nothing.
func (c Cond) SQL() (expr string, args []any) { return c.expr, c.args }

// OrderBy sorts by columns, those with a minus in front descending. Rows that are equal in them stay in key order.
func OrderBy(columns ...string) Cond {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = strings.TrimPrefix(c, "-")
	}
	apply := func(q *bun.SelectQuery, col func(string) bun.Safe) *bun.SelectQuery {
		for _, c := range columns {
			name, descending := strings.CutPrefix(c, "-")
			q = q.OrderExpr("? ?", col(name), direction(descending))
		}
		return q
	}
	return Cond{columns: names, orderBy: columns, apply: apply}
}

// Limit keeps at most n rows.
func Limit(n int) Cond {
	return Cond{limit: int64(n), apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Limit(int64(n))
	}}
}

// Offset passes over the first n rows.
func Offset(n int) Cond {
	return Cond{offset: int64(n), apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Offset(int64(n))
	}}
}

// InVersion keeps content units that are members of a repository version. A page of members in key order costs the
// page, however large the version is.
func InVersion(v *RepositoryVersion) Cond {
	c := Where("m.pulp_id IN ("+membersSQL+")", v.RepositoryID, v.Number, v.Number)
	c.members = v
	return c
}

// membersSQL selects the members of a version; its arguments are the repository, the number and the number again.
const membersSQL = `SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?
	AND rc.version_added <= ? AND (rc.version_removed IS NULL OR rc.version_removed > ?)`

// isMemberSQL is the condition that a row of a table is a member of a version, with the arguments of membersSQL. It
// looks each row up: an EXISTS Postgres may turn into a join, which reads all members to check the few rows of one
// name.
func isMemberSQL(table string) string {
	return "(" + membersSQL + " AND rc.content_id = " + table + ".pulp_id LIMIT 1) IS NOT NULL"
}

// after keeps rows whose keys are greater; key is not nil.
func after(key uuid.UUID) Cond {
	return Cond{after: key, apply: func(q *bun.SelectQuery, _ func(string) bun.Safe) *bun.SelectQuery {
		return q.Where("m.pulp_id > ?", key)
	}}
}

// exactExpr is a comparison of a column with given values, for which an index may be of use.
var exactExpr = regexp.MustCompile(`^[md]\."?[a-z0-9_]+"? (= \?|IN \(\?\))$`)
