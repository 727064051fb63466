// Package group has groups of tasks: the tasks of one larger piece of work, with progress reports that they share.
//
// Queue.NewGroup of package tasking makes a group, DispatchOptions.Group dispatches into it, and a member has it as
// Env.Group.
package group

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Group collects the tasks of one larger piece of work.
type Group struct {
	ID   uuid.UUID
	core *engine.Core
	db   *models.DB
}

// Report declares a progress report that the members of a group share.
type Report struct {
	Message string // for people
	Code    string // for programs; unique within the group
	Total   int64  // how many units there are
	Suffix  string // shown behind the numbers; may be empty
}

// New stores a group of tasks with its progress reports, in the domain of db. Outside of the task engine its name is
// Queue.NewGroup of package tasking.
//
// Errors: Exists if two reports have the same code.
func New(
	ctx context.Context, core *engine.Core, db *models.DB, description string, reports []Report,
) (*Group, error) {
	domain := db.Domain()
	if domain == nil {
		return nil, fmt.Errorf("tasking: new group: the queue's database handle has no domain, see Queue.In: %w",
			pulperr.Invalid)
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
	err := taskdb.Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		return taskdb.InsertGroup(ctx, taskdb.On(tx.DB), g, rows)
	})
	if sqldialect.IsUniqueViolation(err) {
		return nil, fmt.Errorf("tasking: new group: two reports have the same code: %w", pulperr.Exists)
	}
	if err != nil {
		return nil, taskdb.Wrap(err, "new group")
	}
	return Of(core, db, g.ID), nil
}

// Of returns a group that is known to exist in the domain of db.
func Of(core *engine.Core, db *models.DB, id uuid.UUID) *Group {
	return &Group{ID: id, core: core, db: db}
}

// Row returns the row of the group.
//
// Errors: NotFound.
func (g *Group) Row(ctx context.Context) (*models.TaskGroup, error) {
	row, err := taskdb.Group(ctx, taskdb.On(g.db), engine.DomainID(g.db), g.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task group %s", g.ID)
	}
	return row, taskdb.Wrap(err, "read task group %s", g.ID)
}

// Reports returns the group's progress reports in the order in which they were declared.
func (g *Group) Reports(ctx context.Context) ([]*models.GroupProgressReport, error) {
	return taskdb.GroupReports(ctx, taskdb.On(g.db), g.ID)
}

// Counts returns how many tasks of the group are in each state; states without any are left out.
func (g *Group) Counts(ctx context.Context) (map[models.TaskState]int, error) {
	all, err := taskdb.GroupCounts(ctx, taskdb.On(g.db), g.ID)
	return all[g.ID], err
}

// Finish notes that no more tasks will be dispatched into the group. Without it, or [Group.Cancel], the group is never
// purged, see package inspect.
//
// Errors: NotFound.
func (g *Group) Finish(ctx context.Context) error {
	return g.finish(ctx, false)
}

// Cancel cancels every task of the group that has not ended; tasks that are dispatched into it later are stored as
// canceled. It does not wait for running tasks to end. A task that cannot be canceled does not keep it from canceling
// the others; called again, it cancels the remaining ones.
//
// Errors: NotFound; what Queue.Cancel of package tasking returns, joined.
func (g *Group) Cancel(ctx context.Context) error {
	// First the group is marked: from then on dispatches into it are stored as canceled. In the other order a member that
	// is dispatched after the list was read would run (F66).
	if err := g.finish(ctx, true); err != nil {
		return err
	}
	ids, err := taskdb.UnfinishedOf(ctx, taskdb.On(g.db), g.ID)
	if err != nil {
		return taskdb.Wrap(err, "cancel task group %s", g.ID)
	}
	var faults []error
	for _, id := range ids {
		if ctx.Err() != nil {
			faults = append(faults, context.Cause(ctx))
			break
		}
		_, err := g.core.Cancel(ctx, g.db, id)
		// A member may have ended, or been purged, since the list was read.
		if err != nil && !errors.Is(err, pulperr.Conflict) && !errors.Is(err, pulperr.NotFound) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// finish notes that no more tasks will be dispatched into the group, and that it was canceled if cancel is set.
func (g *Group) finish(ctx context.Context, cancel bool) error {
	found := false
	err := g.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		found, err = taskdb.FinishGroup(ctx, taskdb.On(tx.DB), engine.DomainID(g.db), g.ID, cancel)
		return err
	})
	if err == nil && !found {
		return pulperr.Public(pulperr.NotFound, "there is no task group %s", g.ID)
	}
	return taskdb.Wrap(err, "change task group %s", g.ID)
}
