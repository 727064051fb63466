package taskdb

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Deleted has how many rows [DeleteEnded] deleted.
type Deleted struct {
	Tasks, ProgressReports, CreatedResources int64
}

// DeleteEnded deletes those of some tasks that have ended, with what belongs to them. It needs a transaction.
func DeleteEnded(ctx context.Context, c Conn, tasks []uuid.UUID) (done Deleted, err error) {
	// In the order of ids, so that two calls that delete the same tasks wait for each other and cannot deadlock.
	var list []uuid.UUID
	err = c.NewRaw(`SELECT pulp_id FROM core_task WHERE pulp_id IN (?)
		AND state IN ('skipped', 'completed', 'failed', 'canceled') ORDER BY pulp_id ?`, bun.List(tasks),
		c.ForUpdate()).Scan(ctx, &list)
	if err != nil || len(list) == 0 {
		return Deleted{}, err
	}
	var schedules int64
	for _, s := range []struct {
		n         *int64
		statement string
	}{
		{&done.ProgressReports, "DELETE FROM core_progressreport WHERE task_id IN (?)"},
		{&done.CreatedResources, "DELETE FROM core_createdresource WHERE task_id IN (?)"},
		{&schedules, "UPDATE core_taskschedule SET last_task_id = NULL WHERE last_task_id IN (?)"},
		{&done.Tasks, "DELETE FROM core_task WHERE pulp_id IN (?)"},
	} {
		if *s.n, err = Exec(ctx, c, s.statement, bun.List(list)); err != nil {
			return Deleted{}, err
		}
	}
	return done, nil
}
