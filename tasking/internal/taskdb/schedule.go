package taskdb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Schedule is a schedule with what only the scheduler needs.
type Schedule struct {
	models.TaskSchedule `bun:",extend"`

	Args []byte `bun:"enc_args"`
}

// scheduleIsDue holds for schedules that are due. A last task that was deleted has ended.
const scheduleIsDue = `next_dispatch <= ?now AND NOT EXISTS (SELECT 1 FROM core_task t
	WHERE t.pulp_id = core_taskschedule.last_task_id AND t.` + unfinished + `)`

// DueSchedules returns due schedules of all domains in the order of their time and key, limit at most, from behind a
// time and key. Only the columns that the scheduler looks at are set.
func DueSchedules(ctx context.Context, c Conn, due time.Time, last uuid.UUID, limit int) (page []Schedule, err error) {
	err = c.NewRaw("SELECT pulp_id, pulp_domain_id, name, next_dispatch FROM core_taskschedule WHERE "+scheduleIsDue+
		" AND (next_dispatch, pulp_id) > (?due, ?last) ORDER BY next_dispatch, pulp_id LIMIT ?limit",
		sqldialect.Named{"now": c.Now(), "due": due, "last": last, "limit": limit}).Scan(ctx, &page)
	return page, err
}

// TakeDueSchedule locks a schedule and returns it, or nil if it is not due any more or if another process has the lock.
// It needs a transaction.
func TakeDueSchedule(ctx context.Context, c Conn, id uuid.UUID, now time.Time) (*Schedule, error) {
	var locked []uuid.UUID
	err := c.NewRaw("SELECT pulp_id FROM core_taskschedule WHERE pulp_id = ? ?", id, c.SkipLocked()).Scan(ctx, &locked)
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	// A statement of its own sees what others committed before the lock was granted.
	row := new(Schedule)
	err = c.NewRaw("SELECT * FROM core_taskschedule WHERE pulp_id = ?id AND "+scheduleIsDue,
		sqldialect.Named{"id": id, "now": now}).Scan(ctx, row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return row, err
}

// AdvanceSchedule stores that a schedule dispatched a task, and when it is due again; nil is never.
func AdvanceSchedule(ctx context.Context, c Conn, id uuid.UUID, now time.Time, task uuid.UUID, next *time.Time) error {
	_, err := c.NewRaw(`UPDATE core_taskschedule SET next_dispatch = ?, last_dispatch = ?, last_task_id = ?,
		pulp_last_updated = ? WHERE pulp_id = ?`, next, now, task, models.Now(), id).Exec(ctx)
	return err
}

// LockSchedule returns the schedule of a name and locks it: its dispatch and another change wait. It needs a
// transaction.
func LockSchedule(ctx context.Context, c Conn, domain uuid.UUID, name string) (*Schedule, error) {
	row := new(Schedule)
	err := c.NewRaw("SELECT * FROM core_taskschedule WHERE pulp_domain_id = ? AND name = ? ?", domain, name,
		c.ForUpdate()).Scan(ctx, row)
	return row, err
}

// InsertSchedule stores a schedule, or reports false if the domain has one of that name.
func InsertSchedule(ctx context.Context, c Conn, row *Schedule) (inserted bool, err error) {
	res, err := c.NewInsert().Model(row).On("CONFLICT (pulp_domain_id, name) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// UpdateSchedule changes a schedule, which the transaction has locked.
func UpdateSchedule(ctx context.Context, c Conn, row *Schedule) error {
	_, err := c.NewUpdate().Model(row).WherePK().Exec(ctx)
	return err
}
