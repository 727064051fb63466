package models_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// indexed has an index on a column and one on two columns, in the order of the fields.
type indexed struct {
	models.Content
	Key     string  `pulp:"natural"`
	Project string  `pulp:"index,index=release"`
	Version *string `pulp:"index=release"`
}

// indexColumns returns "table (column, column)" of every index whose name begins with prefix.
func indexColumns(t *testing.T, db *models.DB, prefix string) []string {
	t.Helper()
	query := `SELECT i.indrelid::regclass::text || ' (' || string_agg(a.attname, ', ' ORDER BY k.n) || ')'
		FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute AS a
		WHERE NOT i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum AND i.indexrelid::regclass::text LIKE ? || '%'
		GROUP BY i.indexrelid, i.indrelid ORDER BY 1`
	if db.Conn().Kind == sqldialect.SQLite {
		query = `SELECT tbl || ' (' || group_concat(col, ', ') || ')' FROM (
			SELECT m.name AS idx, m.tbl_name AS tbl, c.name AS col FROM sqlite_schema AS m, pragma_index_info(m.name) AS c
			WHERE m.type = 'index' AND m.name LIKE ? || '%' ORDER BY m.name, c.seqno) GROUP BY idx ORDER BY 1`
	}
	var list []string
	if err := db.Bun().NewRaw(query, prefix).Scan(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestIndexesByTag(t *testing.T) {
	t.Parallel()
	units := models.Define[indexed]("ix.unit")
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "ix", Types: []models.AnyType{units}})
		want := []string{
			"ix_unit_content (project)", "ix_unit_content (project, version)", "ix_unit_content (pulp_domain_id, key)",
		}
		if got := indexColumns(t, db, "ix_"); !slices.Equal(got, want) {
			t.Errorf("indexes = %q, want %q", got, want)
		}
		// What Postgres could not put into an index is refused on both databases.
		long, half := strings.Repeat("x", 2001), strings.Repeat("x", 1300)
		wantKind(t, units.Create(t.Context(), db, &indexed{Key: "a", Project: long}), pulperr.Invalid, "no more than 2000")
		wantKind(t, units.Create(t.Context(), db, &indexed{Key: "a", Project: half, Version: &half}), pulperr.Invalid,
			"project, version together have no more than 2500 bytes")
		noError(t, units.Create(t.Context(), db, &indexed{Key: "a", Project: long[:1200], Version: &half}))
	})
}
