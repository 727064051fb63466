package sqldialect_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

// Postgres keeps a Statement prepared, and does not where the URL says that a pooler could not.
func TestStatementIsPrepared(t *testing.T) {
	t.Parallel()
	url := dbtest.Postgres(t)
	for params, want := range map[string]int{
		"&pool_max_conns=1": 1,
		"&pool_max_conns=1&default_query_exec_mode=simple_protocol": 0,
	} {
		c := open(t, url+params)
		s := c.Statement("SELECT 1 + CAST(? AS integer) + CAST(? AS integer)")
		for i := range 3 {
			rows, err := s.Query(t.Context(), i, 10)
			if err != nil {
				t.Fatal(err)
			}
			var sum int
			if !rows.Next() || rows.Scan(&sum) != nil || sum != 11+i {
				t.Errorf("%s: %d + 11 = %d", params, i, sum)
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		err := c.Bun.NewRaw("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%CAST(%AS integer)%'").
			Scan(t.Context(), &n)
		if err != nil || n != want {
			t.Errorf("%s: %d prepared statements, %v, want %d", params, n, err, want)
		}
	}
}
