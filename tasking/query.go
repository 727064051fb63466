package tasking

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

// Get returns a task of the queue's domain.
//
// Errors: NotFound.
func (q *Queue) Get(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	t := new(models.Task)
	err := q.db.Bun().NewSelect().Model(t).Where("t.pulp_id = ?", id).Where("t.pulp_domain_id = ?", q.domainID()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task %s", id)
	}
	if err != nil {
		return nil, taskdb.Wrap(err, "read task %s", id)
	}
	return t, nil
}

// List returns tasks of the queue's domain, newest first unless narrow orders them. narrow, which may be nil, adds
// conditions, order and limits; the table's alias is t.
func (q *Queue) List(ctx context.Context, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]*models.Task, error) {
	var list []*models.Task
	query := q.db.Bun().NewSelect().Model(&list).Where("t.pulp_domain_id = ?", q.domainID())
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
func (q *Queue) Delete(ctx context.Context, id uuid.UUID) error {
	err := taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
		t, err := q.In(tx.DB).Get(ctx, id)
		if err != nil {
			return err
		}
		if !t.State.Final() {
			return pulperr.Public(pulperr.Conflict, "a task that has not ended cannot be deleted")
		}
		_, err = q.deleteEnded(ctx, tx, []uuid.UUID{id})
		return err
	})
	if sqldialect.IsReferenced(err) {
		return fmt.Errorf("tasking: delete task %s, which is in use: %w: %w", id, pulperr.Conflict, err)
	}
	return taskdb.Wrap(err, "delete task %s", id)
}

// ProgressReports returns what tasks reported, in the order in which the reports began.
func (q *Queue) ProgressReports(ctx context.Context, tasks ...uuid.UUID) ([]*models.ProgressReport, error) {
	var list []*models.ProgressReport
	if len(tasks) == 0 {
		return nil, nil
	}
	err := q.db.Bun().NewSelect().Model(&list).Where("pr.task_id IN (?)", bun.List(tasks)).
		OrderExpr("pr.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "read progress reports")
}

// CreatedResources returns what tasks made, in the order in which they did.
func (q *Queue) CreatedResources(ctx context.Context, tasks ...uuid.UUID) ([]*models.CreatedResource, error) {
	var list []*models.CreatedResource
	if len(tasks) == 0 {
		return nil, nil
	}
	err := q.db.Bun().NewSelect().Model(&list).Where("cr.task_id IN (?)", bun.List(tasks)).
		OrderExpr("cr.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "read created resources")
}

// Workers returns the processes that take part, whatever their kind, with the oldest first. One whose last heartbeat is
// older than its TTL is missing and will be removed soon.
func (q *Queue) Workers(ctx context.Context) ([]*models.Worker, error) {
	var list []*models.Worker
	err := q.db.Bun().NewSelect().Model(&list).OrderExpr("w.pulp_id").Scan(ctx)
	return list, taskdb.Wrap(err, "list workers")
}

// Worker returns one of the processes that [Queue.Workers] lists.
//
// Errors: NotFound.
func (q *Queue) Worker(ctx context.Context, id uuid.UUID) (*models.Worker, error) {
	w := new(models.Worker)
	err := q.db.Bun().NewSelect().Model(w).Where("w.pulp_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("tasking: worker %s: %w", id, pulperr.NotFound)
	}
	return w, taskdb.Wrap(err, "read worker %s", id)
}

func (q *Queue) domainID() uuid.UUID {
	if d := q.db.Domain(); d != nil {
		return d.ID
	}
	return uuid.Nil
}
