package taskdb

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
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

// CanceledGroups returns whether each group into which tasks are dispatched was canceled, and keeps that so until the
// transaction ends. domains are the domains in which the groups are looked for.
//
// Errors: NotFound.
func CanceledGroups(ctx context.Context, c Conn, domains map[uuid.UUID]uuid.UUID) (map[uuid.UUID]bool, error) {
	if len(domains) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID       uuid.UUID `bun:"pulp_id"`
		Domain   uuid.UUID `bun:"pulp_domain_id"`
		Canceled bool      `bun:"canceled"`
	}
	// FOR SHARE: a cancellation of the group waits for this dispatch and then finds its task (F66). In the order of ids,
	// so that it cannot deadlock with another batch.
	err := c.NewRaw(`SELECT pulp_id, pulp_domain_id, canceled_at IS NOT NULL AS canceled FROM core_taskgroup
		WHERE pulp_id IN (?) ORDER BY pulp_id ?`, bun.List(slices.Collect(maps.Keys(domains))),
		c.ForShare()).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	canceled := map[uuid.UUID]bool{}
	for _, row := range rows {
		if domains[row.ID] == row.Domain {
			canceled[row.ID] = row.Canceled
		}
	}
	for id := range domains {
		if _, found := canceled[id]; !found {
			return nil, pulperr.Public(pulperr.NotFound, "there is no task group %s", id)
		}
	}
	return canceled, nil
}

// InsertGroup stores a group with its progress reports.
func InsertGroup(ctx context.Context, c Conn, g *models.TaskGroup, reports []*models.GroupProgressReport) error {
	if _, err := c.NewInsert().Model(g).Exec(ctx); err != nil || len(reports) == 0 {
		return err
	}
	_, err := c.NewInsert().Model(&reports).Exec(ctx)
	return err
}

// Group returns the row of a group.
//
// Errors: [sql.ErrNoRows].
func Group(ctx context.Context, c Conn, domain, id uuid.UUID) (*models.TaskGroup, error) {
	row := new(models.TaskGroup)
	err := c.NewSelect().Model(row).Where("tg.pulp_id = ?", id).Where("tg.pulp_domain_id = ?", domain).Scan(ctx)
	return row, err
}

// FinishGroup notes that no more tasks will be dispatched into a group, and that it was canceled if cancel is set. It
// reports whether there is such a group.
func FinishGroup(ctx context.Context, c Conn, domain, id uuid.UUID, cancel bool) (found bool, err error) {
	now := models.Now()
	update := c.NewUpdate().Table("core_taskgroup").Set("all_tasks_dispatched = TRUE").Set("pulp_last_updated = ?", now).
		Where("pulp_id = ?", id).Where("pulp_domain_id = ?", domain)
	if cancel {
		update = update.Set("canceled_at = COALESCE(canceled_at, ?)", now)
	}
	res, err := update.Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// UnfinishedOf returns the tasks of a group that can be canceled, the youngest first: in the other order each
// cancellation would make the next task ready.
func UnfinishedOf(ctx context.Context, c Conn, group uuid.UUID) (ids []uuid.UUID, err error) {
	err = c.NewRaw(`SELECT pulp_id FROM core_task WHERE task_group_id = ? AND state IN ('waiting', 'running')
		ORDER BY seq DESC`, group).Scan(ctx, &ids)
	return ids, err
}

// AddToReport adds to the numbers of a progress report of a group, and reports whether there is one.
func AddToReport(ctx context.Context, c Conn, group uuid.UUID, code string, done, total int64) (found bool, err error) {
	// The database adds, so that no increment of another process is lost.
	n, err := Exec(ctx, c, `UPDATE core_groupprogressreport SET done = done + ?, total = total + ?,
		pulp_last_updated = ? WHERE task_group_id = ? AND code = ?`, done, total, models.Now(), group, code)
	return n > 0, err
}
