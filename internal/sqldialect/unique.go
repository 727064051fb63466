package sqldialect

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// UniqueKeys returns the columns of every unique key of a table, the primary key included. Keys with a condition or an
// expression are left out, since ON CONFLICT cannot name them by their columns. The order of the columns is not
// defined.
func (k Kind) UniqueKeys(ctx context.Context, q bun.IDB, table string) ([][]string, error) {
	query := `SELECT i.indexrelid::text AS name, a.attname AS col FROM pg_index AS i
		JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = to_regclass(?) AND i.indisunique AND i.indisvalid AND i.indimmediate
		AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts`
	if k == SQLite {
		query = `SELECT l.name AS name, c.name AS col FROM pragma_index_list(?) AS l
			JOIN pragma_index_info(l.name) AS c WHERE l."unique" AND NOT l.partial
			AND NOT EXISTS (SELECT 1 FROM pragma_index_info(l.name) AS e WHERE e.name IS NULL)`
	}
	var rows []struct {
		Name string `bun:"name"`
		Col  string `bun:"col"`
	}
	if err := q.NewRaw(query, table).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("database: unique keys of %s: %w", table, err)
	}
	at := map[string]int{}
	var keys [][]string
	for _, r := range rows {
		i, ok := at[r.Name]
		if !ok {
			i = len(keys)
			at[r.Name] = i
			keys = append(keys, nil)
		}
		keys[i] = append(keys[i], r.Col)
	}
	return keys, nil
}
