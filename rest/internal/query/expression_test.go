package query_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
)

// TestExpressions runs expressions on five rows with the numbers 1 to 4 and null, and the names of letters.
func TestExpressions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, u string) {
		t.Parallel()
		db := modelstest.Open(t, u, nil)
		for expr, want := range map[string]string{
			`name="A"`:                               "A",
			`name=A OR name='b b'`:                   "A b b",
			`name = "A" or number=2 OR number = 3`:   "A b b ç",
			`NOT number=1`:                           "b b ç d e",
			`NOT NOT number=1`:                       "A",
			`number__gt=1 AND number__lt=4`:          "b b ç",
			`number=1 OR number=2 AND name="none"`:   "A",
			`(number=1 OR number=2) AND NOT name=A`:  "b b",
			`NOT (number=1 OR number=2)`:             "ç d e",
			`number__in=1,3 AND name__icontains="Ç"`: "ç",
			`name__regex="^[a-c] b$"`:                "b b",
			`name__iregex="Ç|D"`:                     "ç d",
			`name="" AND number=4`:                   "d",
			`not(number=1)and(number=2)`:             "b b",
			`((((((number=1))))))`:                   "A",
			`number__isnull=true`:                    "e",
		} {
			l, err := source().Parse(t.Context(), db, "q="+url.QueryEscape(expr))
			if err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			var names []string
			rows := db.Bun().NewSelect().ColumnExpr("x.name").OrderExpr("x.number IS NULL, x.number").
				TableExpr(`(SELECT 1 AS number, 'A' AS name UNION ALL SELECT 2, 'b b' UNION ALL SELECT 3, 'ç'
					UNION ALL SELECT 4, 'd' UNION ALL SELECT NULL, 'e') AS x`)
			if err := l.Apply(rows).Scan(t.Context(), &names); err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s = %q, want %q", expr, got, want)
			}
		}
	})
}

func TestExpressionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"name":                            "q: Syntax error in expression.",
		"=x":                              "q: Syntax error in expression.",
		`name="x`:                         "q: Syntax error in expression.",
		"(name=x":                         "q: Syntax error in expression.",
		"name=x)":                         "q: Syntax error in expression.",
		"name=x name=y":                   "q: Syntax error in expression.",
		"NOT":                             "q: Syntax error in expression.",
		"name=x AND":                      "q: Syntax error in expression.",
		strings.Repeat("(", 9000/2):       "q: Syntax error in expression.",
		strings.Repeat("x", 9000):         "q: At most 8192 bytes are allowed in a value, not 9000.",
		"foo=x":                           "q: Filter 'foo' does not exist.",
		"q=x":                             "q: Filter 'q' does not exist.",
		"limit=1":                         "q: Filter 'limit' does not exist.",
		"number=x OR name=y":              "q: Enter a number.",
		`name__regex="("`:                 "q: Enter a valid regular expression: error parsing regexp: missing closing ): `(`.",
		strings.Repeat("NOT ", 8) + "a=b": "q: The expression is too complex: at most 8 comparisons and operators are allowed.",
	} {
		_, err := source().Parse(t.Context(), nil, "q="+url.QueryEscape(expr))
		if err == nil || err.Error() != want {
			t.Errorf("Parse(q=%.40s) = %v, want %s", expr, err, want)
		}
	}
	// A list without an order has no expressions either.
	plain := source()
	plain.Columns = nil
	if _, err := plain.Parse(t.Context(), nil, "q=name=x"); err == nil || !strings.Contains(err.Error(), "Invalid Filter: 'q'") {
		t.Errorf("q in a list without columns = %v", err)
	}
}

// FuzzExpression parses any expression, and runs those that are taken: the database never finds a fault.
func FuzzExpression(f *testing.F) {
	for _, expr := range []string{
		`name="x"`, `NOT (name__in="a,b" OR number=1) AND number__range=1,2`, `name="\"\\" AND number__isnull=t`, `((name=x)`,
		`name__iregex="(?i)[^a-ç]{2,3}\b|x$" OR name__icontains="É?"`, `name='?0' AND name="?"`, `not not name=ſ`,
	} {
		f.Add(expr)
	}
	db := modelstest.Open(f, dbtest.SQLite(f), nil)
	f.Fuzz(func(t *testing.T, expr string) {
		l, err := source().Parse(t.Context(), db, "q="+url.QueryEscape(expr))
		if err != nil {
			return
		}
		var n int
		sel := l.Apply(db.Bun().NewSelect().ColumnExpr("COUNT(*)").TableExpr("(SELECT 1 AS number, ? AS name) AS x", "é"))
		if err := sel.Scan(t.Context(), &n); err != nil {
			t.Errorf("q=%q: %v", expr, err)
		}
	})
}
