package schedule

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// List returns the schedules of the domain of db by name, unless narrow orders them. narrow, which may be nil,
// adds conditions, order and limits; the table's alias is ts.
func List(ctx context.Context, db *models.DB, narrow func(*bun.SelectQuery) *bun.SelectQuery,
) ([]*models.TaskSchedule, error) {
	var list []*models.TaskSchedule
	query := db.Bun().NewSelect().Model(&list).Where("ts.pulp_domain_id = ?", engine.DomainID(db))
	if narrow != nil {
		query = narrow(query)
	}
	return list, taskdb.Wrap(query.OrderExpr("ts.name").Scan(ctx), "list schedules")
}

// Get returns the schedule of a name in the domain of db.
//
// Errors: NotFound.
func Get(ctx context.Context, db *models.DB, name string) (*models.TaskSchedule, error) {
	return find(ctx, db, "ts.name = ?", name)
}

// ByID is [Get] for a schedule known by its key.
//
// Errors: NotFound.
func ByID(ctx context.Context, db *models.DB, id uuid.UUID) (*models.TaskSchedule, error) {
	return find(ctx, db, "ts.pulp_id = ?", id)
}

func find(ctx context.Context, db *models.DB, where string, key any) (*models.TaskSchedule, error) {
	s := new(models.TaskSchedule)
	err := db.Bun().NewSelect().Model(s).Where(where, key).Where("ts.pulp_domain_id = ?", engine.DomainID(db)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no schedule %q", fmt.Sprint(key))
	}
	return s, taskdb.Wrap(err, "read schedule %v", key)
}

// Delete removes the schedule of a name from the domain of db. Tasks that it dispatched go on.
//
// Errors: NotFound.
func Delete(ctx context.Context, db *models.DB, name string) error {
	n, err := taskdb.ExecTx(ctx, db, "DELETE FROM core_taskschedule WHERE pulp_domain_id = ? AND name = ?",
		engine.DomainID(db), name)
	if err == nil && n == 0 {
		return pulperr.Public(pulperr.NotFound, "there is no schedule %q", name)
	}
	return taskdb.Wrap(err, "remove schedule %q", name)
}
