package sqldialect_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// TestJSONComesBack stores texts with what JSON or SQL escapes.
func TestJSONComesBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		conn, err := sqldialect.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		typ := "TEXT"
		if conn.Kind == sqldialect.Postgres {
			typ = "jsonb"
		}
		want := map[string]string{
			"escape": `\u0000`, "quote": `it's`, "both": `\'`, "end": `\`, "twice": `\\u0000'`, "double": `"`, "line": "\n", "é": "\u2028",
		}
		var text string
		if err := conn.Bun.NewRaw("SELECT CAST(CAST(? AS "+typ+") AS TEXT)", want).Scan(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("JSON (-want +got):\n%s", diff)
		}
	})
}
