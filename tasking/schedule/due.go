package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	schedulePage     = 100
	scheduleRetry    = 10 * time.Second // after a dispatch that failed
	scheduleLockWait = time.Second      // how long the locks of one schedule delay the others
)

// DispatchDue dispatches the tasks of the schedules of all domains that are due, each in a transaction of its own, and
// returns how many. Running workers do it once a second; it is for tests and programs that use Worker.RunPending of
// package worker.
//
// Errors: those of all schedules that failed, which does not keep the others from being dispatched.
func DispatchDue(ctx context.Context, q *tasking.Queue) (int, error) {
	return NewDispatcher(q).Dispatch(ctx)
}

// Dispatcher dispatches the tasks of schedules, again and again. It leaves schedules whose dispatch failed alone for a
// while. It is not safe for concurrent use.
type Dispatcher struct {
	core   *engine.Core
	failed map[uuid.UUID]time.Time // when a dispatch failed last
}

// NewDispatcher returns a dispatcher, as workers have one.
func NewDispatcher(q *tasking.Queue) *Dispatcher {
	return &Dispatcher{core: q.Core(), failed: map[uuid.UUID]time.Time{}}
}

// Dispatch dispatches everything that is due and returns how many tasks that is.
//
// Errors: those of [DispatchDue].
func (s *Dispatcher) Dispatch(ctx context.Context) (n int, err error) {
	for id, at := range s.failed {
		if time.Since(at) >= scheduleRetry {
			delete(s.failed, id)
		}
	}
	var faults []error
	var last uuid.UUID
	var due time.Time
	for {
		page, err := taskdb.DueSchedules(ctx, taskdb.On(s.core.DB), due, last, schedulePage)
		if err != nil {
			return n, errors.Join(append(faults, taskdb.Wrap(err, "look for schedules that are due"))...)
		}
		for i := range page {
			row := &page[i]
			// The next page begins behind this row also if its dispatch fails, or a page of failing schedules would keep out the
			// others.
			due, last = *row.NextDispatch, row.ID
			if _, failed := s.failed[row.ID]; failed {
				continue
			}
			done, err := s.dispatch(ctx, row)
			switch {
			case ctx.Err() != nil:
				return n, errors.Join(append(faults, context.Cause(ctx))...)
			case err != nil:
				// A schedule that fails each time would otherwise be tried, and logged, every second.
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

// dispatch dispatches the task of a schedule and advances the schedule, both or neither. It reports false if the
// schedule is not due any more or another process has locked it.
func (s *Dispatcher) dispatch(ctx context.Context, look *taskdb.Schedule) (done bool, err error) {
	db, err := s.core.DB.InDomainID(ctx, look.DomainID)
	if err != nil {
		return false, err
	}
	err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		c := taskdb.On(tx.DB)
		// The clock of the database, so that the clocks of the hosts may differ.
		now, err := taskdb.Clock(ctx, c)
		if err != nil {
			return err
		}
		row, err := taskdb.TakeDueSchedule(ctx, c, look.ID, now)
		if err != nil || row == nil {
			return err
		}
		task, err := s.spec(ctx, tx.DB, row)
		if err != nil {
			return err
		}
		next := following(*row.NextDispatch, row.Interval(), now)
		if err := taskdb.AdvanceSchedule(ctx, c, row.ID, now, task.Row.ID, next); err != nil {
			return err
		}
		// A resource that stays locked delays the schedules behind this one by a second at most.
		if err := taskdb.LockTimeout(ctx, c, scheduleLockWait); err != nil {
			return err
		}
		_, err = s.core.DispatchIn(ctx, tx, task)
		done = err == nil
		return err
	})
	// done may be true of a transaction whose commit failed.
	return done && err == nil, err
}

// spec returns the task of a schedule, whose arguments are sealed anew for it.
func (s *Dispatcher) spec(ctx context.Context, db *models.DB, row *taskdb.Schedule) (*engine.Spec, error) {
	raw, err := engine.OpenArgs(db, engine.ScheduleTable, row.ID, row.Args)
	if err != nil {
		return nil, fmt.Errorf("tasking: arguments of %s: %w", row.TaskName, err)
	}
	spec, err := s.core.NewSpec(ctx, db, &engine.SpecOptions{
		Name: row.TaskName, Raw: raw, Resources: row.ReservedResources, Deferred: true,
		User: row.UserID, CorrelationID: newCID(),
	})
	if err != nil {
		return nil, err
	}
	spec.Row.Schedule = &row.ID
	return spec, nil
}

// newCID returns a new correlation id.
func newCID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }
