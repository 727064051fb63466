package taskdb

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// GroupReports returns the progress reports of groups, for each group in the order in which they were declared.
func GroupReports(ctx context.Context, c Conn, groups ...uuid.UUID) ([]*models.GroupProgressReport, error) {
	var rows []*models.GroupProgressReport
	if len(groups) == 0 {
		return nil, nil
	}
	err := c.NewSelect().Model(&rows).Where("gpr.task_group_id IN (?)", bun.List(groups)).
		OrderExpr("gpr.pulp_id").Scan(ctx)
	return rows, Wrap(err, "read reports of task groups")
}

// GroupCounts returns how many tasks of groups are in each state, in one statement. Each group has an entry; states
// without any task are left out.
func GroupCounts(ctx context.Context, c Conn, groups ...uuid.UUID) (map[uuid.UUID]map[models.TaskState]int, error) {
	counts := make(map[uuid.UUID]map[models.TaskState]int, len(groups))
	for _, id := range groups {
		counts[id] = map[models.TaskState]int{}
	}
	if len(groups) == 0 {
		return counts, nil
	}
	var rows []struct {
		Group uuid.UUID        `bun:"task_group_id"`
		State models.TaskState `bun:"state"`
		N     int              `bun:"n"`
	}
	err := c.NewRaw(`SELECT task_group_id, state, count(*) AS n FROM core_task WHERE task_group_id IN (?)
		GROUP BY task_group_id, state`, bun.List(groups)).Scan(ctx, &rows)
	if err != nil {
		return nil, Wrap(err, "count tasks of groups")
	}
	for _, r := range rows {
		counts[r.Group][r.State] = r.N
	}
	return counts, nil
}
