package sqldialect_test

import (
	"errors"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestStatementWithoutAnswerIsNotSentAgain(t *testing.T) {
	t.Parallel()
	server := dbtest.StartPostgres(t)
	proxy := dbtest.StartProxy(t, server.Addr())
	conn, err := sqldialect.Open(t.Context(), proxy.URL(server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Bun.ExecContext(t.Context(), "CREATE TABLE one (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	beside := conn.Beside()
	t.Cleanup(func() { _ = beside.Close() })
	tests := map[string]func() error{
		"exec": func() error {
			_, err := conn.Bun.ExecContext(t.Context(), "INSERT INTO one VALUES (1)")
			return err
		},
		"exec beside the pool": func() error {
			_, err := beside.ExecContext(t.Context(), "INSERT INTO one VALUES (1)")
			return err
		},
		"query": func() error {
			var id int
			return conn.Bun.NewRaw("INSERT INTO one VALUES (1) RETURNING id").Scan(t.Context(), &id)
		},
	}
	for name, send := range tests {
		for _, arrives := range []bool{false, true} {
			if _, err := conn.Bun.ExecContext(t.Context(), "DELETE FROM one"); err != nil {
				t.Fatal(err)
			}
			want, cutAt := 0, proxy.CutBefore
			if arrives {
				want, cutAt = 1, proxy.CutAfter
			}
			cut := cutAt("INSERT INTO one")
			if err := send(); !errors.Is(err, pulperr.Unavailable) {
				t.Errorf("%s: %v, want Unavailable", name, err)
			}
			<-cut
			var n int
			if err := conn.Bun.NewRaw("SELECT count(*) FROM one").Scan(t.Context(), &n); err != nil || n != want {
				t.Errorf("%s: %d rows, %v, want %d", name, n, err, want)
			}
		}
	}
}
