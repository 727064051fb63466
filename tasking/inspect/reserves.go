package inspect

import (
	"strconv"
	"strings"

	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// The index on reserved resources has ended tasks only, so the two halves are separate queries.
const reservesPostgres = `t.pulp_id IN (SELECT x.pulp_id FROM core_task AS x
		WHERE x.finished_at IS NOT NULL AND x.reserved_resources && ?::text[]
	UNION ALL SELECT x.pulp_id FROM core_task AS x
		WHERE x.state IN ('waiting', 'running', 'canceling') AND x.reserved_resources && ?::text[])`

// Reserves returns a condition on tasks, whose alias is t. It holds for tasks that reserve or reserved one of the named
// resources. The names are those of the column reserved_resources: PRNs, with "shared:" before them for shared
// resources.
func Reserves(db *models.DB, names ...string) (expr string, args []any) {
	// The names are compared as they stand in the column's JSON: parsing it for every task takes far longer.
	if db.Conn().Kind == sqldialect.SQLite {
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
