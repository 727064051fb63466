package tasking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	scheduleInterval = time.Second
	schedulePage     = 100
	scheduleRetry    = 10 * time.Second // after a dispatch that failed
	schedulePatience = time.Second      // how long one schedule's locks hold up the others
)

// keepScheduling dispatches what is due. Every worker does: the row of a schedule is locked while its task is
// dispatched, so that each time is taken once.
func (w *Worker) keepScheduling(ctx context.Context, _ *life) {
	ticker := time.NewTicker(scheduleInterval)
	defer ticker.Stop()
	s := &scheduler{q: w.q, failed: map[uuid.UUID]time.Time{}}
	for {
		if _, err := s.dispatchDue(ctx); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "schedules are dispatched later", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// DispatchDue dispatches the tasks of the schedules of all domains that are due, each in a transaction of its own, and
// returns how many. Running workers do it once a second; it is for tests and programs that use [Worker.RunPending].
//
// Errors: those of all schedules that failed, which does not keep the others from being dispatched.
func (q *Queue) DispatchDue(ctx context.Context) (int, error) {
	s := &scheduler{q: q, failed: map[uuid.UUID]time.Time{}}
	return s.dispatchDue(ctx)
}

// scheduler is what one worker remembers of the schedules.
type scheduler struct {
	q      *Queue
	failed map[uuid.UUID]time.Time // when a dispatch failed last
}

// dueWhere is what makes a schedule due. A last task that was deleted has ended.
const dueWhere = `next_dispatch <= ?now AND NOT EXISTS (SELECT 1 FROM core_task t
	WHERE t.pulp_id = core_taskschedule.last_task_id AND t.state IN ('waiting', 'running', 'canceling'))`

func (s *scheduler) dispatchDue(ctx context.Context) (n int, err error) {
	for id, at := range s.failed {
		if time.Since(at) >= scheduleRetry {
			delete(s.failed, id)
		}
	}
	var faults []error
	var last uuid.UUID
	var due time.Time
	for {
		var page []scheduleRow
		err := s.q.db.Bun().NewRaw("SELECT pulp_id, pulp_domain_id, name, next_dispatch FROM core_taskschedule WHERE "+
			dueWhere+" AND (next_dispatch, pulp_id) > (?due, ?last) ORDER BY next_dispatch, pulp_id LIMIT ?limit",
			sqldialect.Named{"now": s.q.kind.Now(), "due": due, "last": last, "limit": schedulePage}).Scan(ctx, &page)
		if err != nil {
			return n, errors.Join(append(faults, taskdb.Wrap(err, "look for schedules that are due"))...)
		}
		for i := range page {
			row := &page[i]
			due, last = *row.NextDispatch, row.ID
			if _, failed := s.failed[row.ID]; failed {
				continue
			}
			done, err := s.q.dispatchSchedule(ctx, row)
			switch {
			case ctx.Err() != nil:
				return n, errors.Join(append(faults, context.Cause(ctx))...)
			case err != nil:
				s.failed[row.ID] = time.Now()
				faults = append(faults, fmt.Errorf("tasking: schedule %q: %w", row.Name, err))
			case done:
				n++
			}
		}
		if len(page) < schedulePage {
			return n, errors.Join(faults...)
		}
	}
}

// dispatchSchedule dispatches the task of a schedule and moves the schedule on, both or neither. It does nothing if
// the schedule is not due any more or somebody else is at it.
func (q *Queue) dispatchSchedule(ctx context.Context, look *scheduleRow) (done bool, err error) {
	db, err := q.db.InDomainID(ctx, look.DomainID)
	if err != nil {
		return false, err
	}
	err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		now, err := q.kind.Clock(ctx, tx.Bun())
		if err != nil {
			return err
		}
		row, err := q.takeDueSchedule(ctx, tx, look.ID, now)
		if err != nil || row == nil {
			return err
		}
		s, err := q.In(tx.DB).scheduledSpec(ctx, row)
		if err != nil {
			return err
		}
		next := following(*row.NextDispatch, row.Interval(), now)
		_, err = tx.Bun().NewRaw(`UPDATE core_taskschedule SET next_dispatch = ?, last_dispatch = ?, last_task_id = ?,
			pulp_last_updated = ? WHERE pulp_id = ?`, next, now, s.row.ID, models.Now(), row.ID).Exec(ctx)
		if err != nil {
			return err
		}
		if err := q.kind.LockPatience(ctx, tx.Bun(), schedulePatience); err != nil {
			return err
		}
		_, err = q.In(tx.DB).dispatchTx(ctx, tx, s)
		done = err == nil
		return err
	})
	return done && err == nil, err
}

// takeDueSchedule locks a schedule and returns it if it is due and nobody else has it. The look is a statement of its
// own, so that it sees what others committed before the lock was granted.
func (q *Queue) takeDueSchedule(ctx context.Context, tx *models.Tx, id uuid.UUID, now time.Time) (*scheduleRow, error) {
	var locked []uuid.UUID
	err := tx.Bun().NewRaw("SELECT pulp_id FROM core_taskschedule WHERE pulp_id = ? ?", id, q.kind.SkipLocked()).
		Scan(ctx, &locked)
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	row := new(scheduleRow)
	err = tx.Bun().NewRaw("SELECT * FROM core_taskschedule WHERE pulp_id = ?id AND "+dueWhere,
		sqldialect.Named{"id": id, "now": now}).Scan(ctx, row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return row, err
}

// scheduledSpec returns the task of a schedule, whose arguments are sealed anew for it.
func (q *Queue) scheduledSpec(ctx context.Context, row *scheduleRow) (*spec, error) {
	raw, err := openArgs(q.db, scheduleTable, row.ID, row.Args)
	if err != nil {
		return nil, fmt.Errorf("tasking: arguments of %s: %w", row.TaskName, err)
	}
	var resources Resources
	for _, name := range row.ReservedResources {
		if bare, shared := strings.CutPrefix(name, sharedPrefix); shared {
			resources.Shared = append(resources.Shared, Named(bare)...)
		} else {
			resources.Exclusive = append(resources.Exclusive, Named(name)...)
		}
	}
	s, err := q.newSpec(ctx, row.TaskName, raw, resources, &Options{User: row.UserID, CorrelationID: newCID()})
	if err != nil {
		return nil, err
	}
	s.row.Schedule = &row.ID
	return s, nil
}

// newCID returns a fresh correlation id.
func newCID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }
