package inspect

import (
	"strconv"
	"strings"

	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// The index on what tasks have reserved is one of ended tasks.
const reservesPostgres = `t.pulp_id IN (SELECT x.pulp_id FROM core_task AS x
		WHERE x.finished_at IS NOT NULL AND x.reserved_resources && ?::text[]
	UNION ALL SELECT x.pulp_id FROM core_task AS x
		WHERE x.state IN ('waiting', 'running', 'canceling') AND x.reserved_resources && ?::text[])`

// Reserves returns a condition on tasks, whose alias is t, that holds for those that reserve or reserved one of some
// resources, by their names in the column reserved_resources: PRNs, with "shared:" before them for shared ones.
func Reserves(db *models.DB, names ...string) (expr string, args []any) {
	if db.Conn().Kind == sqldialect.SQLite {
		// The names as they stand in the column's JSON: to parse the JSON of every task takes far longer.
		parts := make([]string, len(names))
		for i, name := range names {
			parts[i] = "instr(t.reserved_resources, ?) > 0"
			args = append(args, strconv.Quote(name))
		}
		return "(" + strings.Join(parts, " OR ") + ")", args
	}
	list := pgdialect.Array(names)
	return reservesPostgres, []any{list, list}
}
