package modelstest

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Plans checks that statements read no more rows than they need, by their query plans. As a bun.QueryHook it records
// the SELECT statements that it sees.
type Plans struct {
	DB         *models.DB
	done       bool   // what follows is the test's own
	Sorts      bool   // the result of an index look-up may be sorted
	Wrong      string // regular expression of what no plan may have, beside scans of tables; "" for nothing
	Statements []string
}

// BeforeQuery is of bun.QueryHook.
func (p *Plans) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if !p.done && strings.HasPrefix(e.Query, "SELECT") {
		p.Statements = append(p.Statements, e.Query)
	}
	return ctx
}

// AfterQuery is of bun.QueryHook.
func (*Plans) AfterQuery(context.Context, *bun.QueryEvent) {}

var (
	sqliteScan  = regexp.MustCompile(`SCAN (m|d|rc|ca|x|p|v|core_\w+)\b`)
	sqliteSort  = regexp.MustCompile(`TEMP B-TREE FOR ORDER BY`)
	rowsRemoved = regexp.MustCompile(`Rows Removed by (?:\w+ )?Filter: (\d+)`)
	actualRows  = regexp.MustCompile(`actual time=\S+ rows=(\d+) loops=(\d+)`)
)

// Check fails the test if the plan of a statement scans a table, sorts, or reads many more rows than read.
func (p *Plans) Check(t testing.TB, name string, read int) {
	t.Helper()
	p.done = true
	for _, statement := range p.Statements {
		explain := "EXPLAIN ANALYZE "
		if p.DB.Conn().Kind == sqldialect.SQLite {
			explain = "EXPLAIN QUERY PLAN "
		}
		plan := p.explain(t, explain+statement)
		// A plan of SQLite has no numbers of rows: any scan of a table counts as reading too much.
		bad := sqliteScan.FindString(plan)
		if bad == "" && p.Wrong != "" {
			bad = regexp.MustCompile(p.Wrong).FindString(plan)
		}
		if bad == "" && !p.Sorts {
			bad = sqliteSort.FindString(plan)
		}
		for _, m := range rowsRemoved.FindAllStringSubmatch(plan, -1) {
			if atoi(m[1]) > read {
				bad = m[0]
			}
		}
		for _, m := range actualRows.FindAllStringSubmatch(plan, -1) {
			// Postgres reports the rows of one loop.
			if atoi(m[1])*atoi(m[2]) > 2*read+10 {
				bad = m[0]
			}
		}
		if bad != "" {
			t.Errorf("%s: the plan has %q\n%s\n%s", name, bad, statement, plan)
		}
	}
}

func (p *Plans) explain(t testing.TB, statement string) string {
	t.Helper()
	rows, err := p.DB.Conn().Bun.DB.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		line := make([]any, len(columns))
		for i := range line {
			line[i] = new(string)
		}
		if err := rows.Scan(line...); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(*line[len(line)-1].(*string) + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func atoi(text string) int {
	n := 0
	for _, r := range text {
		n = n*10 + int(r-'0')
	}
	return n
}
