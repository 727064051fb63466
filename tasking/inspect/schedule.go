package inspect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Schedules returns the schedules of the domain of db by name, unless narrow orders them. narrow, which may be nil,
// adds conditions, order and limits; the table's alias is ts.
func Schedules(ctx context.Context, db *models.DB, narrow func(*bun.SelectQuery) *bun.SelectQuery,
) ([]*models.TaskSchedule, error) {
	var list []*models.TaskSchedule
	query := db.Bun().NewSelect().Model(&list).Where("ts.pulp_domain_id = ?", domainID(db))
	if narrow != nil {
		query = narrow(query)
	}
	return list, taskdb.Wrap(query.OrderExpr("ts.name").Scan(ctx), "list schedules")
}

// Schedule returns the schedule of a name in the domain of db.
//
// Errors: NotFound.
func Schedule(ctx context.Context, db *models.DB, name string) (*models.TaskSchedule, error) {
	return findSchedule(ctx, db, "ts.name = ?", name)
}

// ScheduleByID is [Schedule] for a schedule known by its key.
//
// Errors: NotFound.
func ScheduleByID(ctx context.Context, db *models.DB, id uuid.UUID) (*models.TaskSchedule, error) {
	return findSchedule(ctx, db, "ts.pulp_id = ?", id)
}

func findSchedule(ctx context.Context, db *models.DB, where string, key any) (*models.TaskSchedule, error) {
	s := new(models.TaskSchedule)
	err := db.Bun().NewSelect().Model(s).Where(where, key).Where("ts.pulp_domain_id = ?", domainID(db)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no schedule %q", fmt.Sprint(key))
	}
	return s, taskdb.Wrap(err, "read schedule %v", key)
}

// Unschedule removes the schedule of a name from the domain of db. Tasks that it dispatched go on.
//
// Errors: NotFound.
func Unschedule(ctx context.Context, db *models.DB, name string) error {
	n, err := taskdb.ExecTx(ctx, db, "DELETE FROM core_taskschedule WHERE pulp_domain_id = ? AND name = ?",
		domainID(db), name)
	if err == nil && n == 0 {
		return pulperr.Public(pulperr.NotFound, "there is no schedule %q", name)
	}
	return taskdb.Wrap(err, "remove schedule %q", name)
}
