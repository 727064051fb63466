package sqldialect_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := open(t, url).Bun
		a, b := uuid.New(), uuid.New()
		for _, tt := range []struct {
			keys []uuid.UUID
			want string
		}{
			{nil, "SELECT count(*) FROM x WHERE id IN (NULL)"},
			{[]uuid.UUID{a}, "SELECT count(*) FROM x WHERE id IN ('" + a.String() + "')"},
			{[]uuid.UUID{a, b}, "SELECT count(*) FROM x WHERE id IN ('" + a.String() + "', '" + b.String() + "')"},
		} {
			got := db.NewRaw("SELECT count(*) FROM x WHERE id IN (?)", sqldialect.Keys(tt.keys)).String()
			if got != tt.want {
				t.Errorf("statement = %s, want %s", got, tt.want)
			}
		}
		if got := db.NewRaw("SELECT ?", sqldialect.Key(a)).String(); !strings.HasSuffix(got, "'"+a.String()+"'") {
			t.Errorf("statement = %s", got)
		}
	})
}
