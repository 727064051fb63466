package models_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// foreignKeys returns "table.column" of every foreign key, and of every first column of an index.
func foreignKeys(t *testing.T, db *models.DB) (keys, indexed []string) {
	t.Helper()
	queries := []string{
		`SELECT c.conrelid::regclass::text || '.' || a.attname FROM pg_constraint AS c
			JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'`,
		`SELECT i.indrelid::regclass::text || '.' || a.attname FROM pg_index AS i
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]`,
	}
	if db.Conn().Kind.String() == "sqlite" {
		queries = []string{
			`SELECT m.name || '.' || f."from" FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
				WHERE m.type = 'table'`,
			`SELECT m.name || '.' || c.name FROM sqlite_schema AS m, pragma_index_list(m.name) AS i,
				pragma_index_info(i.name) AS c WHERE m.type = 'table' AND c.seqno = 0`,
		}
	}
	for i, list := range []*[]string{&keys, &indexed} {
		if err := db.Bun().NewRaw(queries[i]).Scan(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	return keys, indexed
}

// Whoever deletes a row asks each table that refers to it for its rows, so every foreign key needs an index. Domains
// are an exception: only an empty one can be deleted, and that rarely happens.
func TestForeignKeysHaveIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		keys, indexed := foreignKeys(t, db)
		if len(keys) < 10 || len(indexed) < 10 {
			t.Fatalf("%d foreign keys, %d indexes: the catalogue was not read", len(keys), len(indexed))
		}
		for _, k := range keys {
			if !strings.HasSuffix(k, ".pulp_domain_id") && !slices.Contains(indexed, k) {
				t.Errorf("the foreign key %s has no index", k)
			}
		}
	})
}
