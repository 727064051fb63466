package sqldialect_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

func TestValues(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind  sqldialect.Kind
		rows  int
		types []string
		want  string
	}{
		{sqldialect.SQLite, 1, []string{"TEXT"}, "VALUES (?)"},
		{sqldialect.SQLite, 2, []string{"TEXT", "BIGINT"}, "VALUES (?, ?), (?, ?)"},
		{sqldialect.Postgres, 1, []string{"TEXT"}, "VALUES (CAST(? AS TEXT))"},
		{
			sqldialect.Postgres, 3,
			[]string{"uuid", "BIGINT"},
			"VALUES (CAST(? AS uuid), CAST(? AS BIGINT)), (?, ?), (?, ?)",
		},
	} {
		if got := row.kind.Values(row.rows, row.types...); got != row.want {
			t.Errorf("%v.Values(%d, %q) = %q, want %q", row.kind, row.rows, row.types, got, row.want)
		}
	}
}
