// Package inspect is for programs that show and administer tasks: it has lists, blocked tasks, workers, checks and
// purges. Its functions take a database handle and read the handle's domain. To dispatch tasks, to cancel them and to
// wait for them, see package tasking.
//
// "Errors: NotFound" in a comment means that errors.Is(err, pulperr.NotFound) holds for the returned error.
package inspect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// List returns tasks of the domain of db, newest first unless narrow orders them. narrow, which may be nil, adds
// conditions, order and limits; the table's alias is t.
func List(ctx context.Context, db *models.DB, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]*models.Task, error) {
	var list []*models.Task
	query := db.Bun().NewSelect().Model(&list).Where("t.pulp_domain_id = ?", domainID(db))
	if narrow != nil {
		query = narrow(query)
	}
	if err := query.OrderExpr("t.pulp_created DESC, t.pulp_id DESC").Scan(ctx); err != nil {
		return nil, taskdb.Wrap(err, "list tasks")
	}
	return list, nil
}

// Delete removes a task that has ended, with its progress reports and its record of created resources.
//
// Errors: NotFound; Conflict if it has not ended, or if a plugin's row refers to it.
func Delete(ctx context.Context, db *models.DB, id uuid.UUID) error {
	err := taskdb.Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		found, err := List(ctx, tx.DB, func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where("t.pulp_id = ?", id) })
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return pulperr.Public(pulperr.NotFound, "there is no task %s", id)
		}
		if !found[0].State.Final() {
			return pulperr.Public(pulperr.Conflict, "task %s has not ended and cannot be deleted; cancel it first", id)
		}
		_, err = taskdb.DeleteEnded(ctx, taskdb.On(tx.DB), []uuid.UUID{id})
		return err
	})
	if sqldialect.IsReferenced(err) {
		return fmt.Errorf("tasking: delete task %s, which is in use: %w: %w", id, pulperr.Conflict, err)
	}
	return taskdb.Wrap(err, "delete task %s", id)
}

// ProgressReports returns the progress reports of tasks, in the order in which the reports began.
func ProgressReports(ctx context.Context, db *models.DB, tasks ...uuid.UUID) ([]*models.ProgressReport, error) {
	var list []*models.ProgressReport
	if len(tasks) == 0 {
		return nil, nil
	}
	err := db.Bun().NewSelect().Model(&list).Where("pr.task_id IN (?)", bun.List(tasks)).
		OrderExpr("pr.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "read progress reports")
}

// CreatedResources returns the records of what tasks created, in the order of their creation.
func CreatedResources(ctx context.Context, db *models.DB, tasks ...uuid.UUID) ([]*models.CreatedResource, error) {
	var list []*models.CreatedResource
	if len(tasks) == 0 {
		return nil, nil
	}
	err := db.Bun().NewSelect().Model(&list).Where("cr.task_id IN (?)", bun.List(tasks)).
		OrderExpr("cr.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "read created resources")
}

// Workers returns the workers of all kinds, the oldest first. One whose last heartbeat is older than its TTL is missing
// and will be removed soon.
func Workers(ctx context.Context, db *models.DB) ([]*models.Worker, error) {
	var list []*models.Worker
	err := db.Bun().NewSelect().Model(&list).OrderExpr("w.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "list workers")
}

// Worker returns one of the processes that [Workers] lists.
//
// Errors: NotFound.
func Worker(ctx context.Context, db *models.DB, id uuid.UUID) (*models.Worker, error) {
	w := new(models.Worker)
	err := db.Bun().NewSelect().Model(w).Where("w.pulp_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("tasking: worker %s: %w", id, pulperr.NotFound)
	}
	return w, taskdb.Wrap(err, "read worker %s", id)
}

func domainID(db *models.DB) uuid.UUID {
	if d := db.Domain(); d != nil {
		return d.ID
	}
	return uuid.Nil
}
