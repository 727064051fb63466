package tasking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Group collects the tasks of one larger piece of work. Dispatch into it with [DispatchOptions].Group; within a member
// it is [Env].Group.
type Group struct {
	ID uuid.UUID
	q  *Queue
}

// GroupReport declares a progress report that the members of a group share.
type GroupReport struct {
	Message string // for people
	Code    string // for programs; unique within the group
	Total   int64  // how many units there are
	Suffix  string // shown behind the numbers; may be empty
}

// NewGroup stores a group of tasks with its progress reports, in the queue's domain.
//
// Errors: Exists if two reports have the same code.
func NewGroup(ctx context.Context, q *Queue, description string, reports ...GroupReport) (*Group, error) {
	domain := q.db.Domain()
	if domain == nil {
		return nil, fmt.Errorf("tasking: new group: the queue's database handle has no domain: %w", pulperr.Invalid)
	}
	now := models.Now()
	g := &models.TaskGroup{DomainID: domain.ID, Description: description}
	g.ID, g.Created, g.Updated = models.NewID(), now, now
	rows := make([]*models.GroupProgressReport, 0, len(reports))
	for _, r := range reports {
		row := &models.GroupProgressReport{TaskGroupID: g.ID, Message: r.Message, Code: r.Code, Total: r.Total}
		row.ID, row.Created, row.Updated = models.NewID(), now, now
		if r.Suffix != "" {
			row.Suffix = &r.Suffix
		}
		rows = append(rows, row)
	}
	err := taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
		if _, err := tx.Bun().NewInsert().Model(g).Exec(ctx); err != nil || len(rows) == 0 {
			return err
		}
		_, err := tx.Bun().NewInsert().Model(&rows).Exec(ctx)
		return err
	})
	if sqldialect.IsUniqueViolation(err) {
		return nil, fmt.Errorf("tasking: new group: two reports have the same code: %w", pulperr.Exists)
	}
	if err != nil {
		return nil, taskdb.Wrap(err, "new group")
	}
	return &Group{ID: g.ID, q: q}, nil
}

// Group returns a group of the queue's domain.
//
// Errors: NotFound.
func (q *Queue) Group(ctx context.Context, id uuid.UUID) (*Group, error) {
	g := &Group{ID: id, q: q}
	_, err := g.Row(ctx)
	return g, err
}

// Row returns what is stored of the group.
//
// Errors: NotFound.
func (g *Group) Row(ctx context.Context) (*models.TaskGroup, error) {
	row := new(models.TaskGroup)
	err := g.q.db.Bun().NewSelect().Model(row).Where("tg.pulp_id = ?", g.ID).
		Where("tg.pulp_domain_id = ?", g.q.domainID()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task group %s", g.ID)
	}
	return row, taskdb.Wrap(err, "read task group %s", g.ID)
}

// Reports returns the group's progress reports in the order in which they were declared.
func (g *Group) Reports(ctx context.Context) ([]*models.GroupProgressReport, error) {
	return taskdb.GroupReports(ctx, taskdb.On(g.q.db), g.ID)
}

// Counts returns how many tasks of the group are in each state; states without any are left out.
func (g *Group) Counts(ctx context.Context) (map[models.TaskState]int, error) {
	all, err := taskdb.GroupCounts(ctx, taskdb.On(g.q.db), g.ID)
	return all[g.ID], err
}

// Finish notes that no more tasks will be dispatched into the group. Without it, or [Group.Cancel], the group is never
// purged, see package inspect.
//
// Errors: NotFound.
func (g *Group) Finish(ctx context.Context) error {
	return g.update(ctx, "all_tasks_dispatched = TRUE")
}

// Cancel cancels every task of the group that has not ended; one that is dispatched into it later is stored as
// canceled. It does not wait for running tasks to end. What cannot be canceled does not keep it from canceling the
// others; called again, it cancels those that are left.
//
// Errors: NotFound; what [Queue.Cancel] returns, joined.
func (g *Group) Cancel(ctx context.Context) error {
	err := g.update(ctx, "all_tasks_dispatched = TRUE, canceled_at = COALESCE(canceled_at, ?)", models.Now())
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	err = g.q.db.Bun().NewRaw(`SELECT pulp_id FROM core_task WHERE task_group_id = ? AND state IN ('waiting', 'running')
		ORDER BY seq DESC`, g.ID).Scan(ctx, &ids) // youngest first, or each would make the next one ready
	if err != nil {
		return taskdb.Wrap(err, "cancel task group %s", g.ID)
	}
	var faults []error
	for _, id := range ids {
		if ctx.Err() != nil {
			faults = append(faults, context.Cause(ctx))
			break
		}
		_, err := g.q.Cancel(ctx, id)
		if err != nil && !errors.Is(err, pulperr.Conflict) && !errors.Is(err, pulperr.NotFound) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (g *Group) update(ctx context.Context, set string, args ...any) error {
	args = append(args, models.Now(), g.ID, g.q.domainID())
	n, err := taskdb.ExecTx(ctx, g.q.db, "UPDATE core_taskgroup SET "+set+
		", pulp_last_updated = ? WHERE pulp_id = ? AND pulp_domain_id = ?", args...)
	if err == nil && n == 0 {
		return pulperr.Public(pulperr.NotFound, "there is no task group %s", g.ID)
	}
	return taskdb.Wrap(err, "change task group %s", g.ID)
}
