package tasking

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	schedulePage     = 100
	scheduleRetry    = 10 * time.Second // after a dispatch that failed
	scheduleLockWait = time.Second      // how long the locks of one schedule delay the others
)

// DispatchDue dispatches the tasks of the schedules of all domains that are due, each in a transaction of its own, and
// returns how many. Running workers do it once a second; it is for tests and programs that use [Worker.RunPending].
//
// Errors: those of all schedules that failed, which does not keep the others from being dispatched.
func (q *Queue) DispatchDue(ctx context.Context) (int, error) {
	return newScheduler(q).dispatchDue(ctx)
}

// scheduler dispatches the tasks of schedules. It leaves schedules whose dispatch failed alone for a while.
type scheduler struct {
	q      *Queue
	failed map[uuid.UUID]time.Time // when a dispatch failed last
}

func newScheduler(q *Queue) *scheduler { return &scheduler{q: q, failed: map[uuid.UUID]time.Time{}} }

// dispatchDue dispatches everything that is due and returns how many tasks that is.
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
		page, err := taskdb.DueSchedules(ctx, taskdb.On(s.q.db), due, last, schedulePage)
		if err != nil {
			return n, errors.Join(append(faults, taskdb.Wrap(err, "look for schedules that are due"))...)
		}
		for i := range page {
			row := &page[i]
			due, last = *row.NextDispatch, row.ID
			if _, failed := s.failed[row.ID]; failed {
				continue
			}
			done, err := s.dispatch(ctx, row)
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

// dispatch dispatches the task of a schedule and advances the schedule, both or neither. It does nothing if the
// schedule is not due any more or another process has locked it.
func (s *scheduler) dispatch(ctx context.Context, look *taskdb.Schedule) (done bool, err error) {
	db, err := s.q.db.InDomainID(ctx, look.DomainID)
	if err != nil {
		return false, err
	}
	err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		c, q := taskdb.On(tx.DB), s.q.In(tx.DB)
		now, err := c.Clock(ctx, c.IDB)
		if err != nil {
			return err
		}
		row, err := taskdb.TakeDueSchedule(ctx, c, look.ID, now)
		if err != nil || row == nil {
			return err
		}
		task, err := q.scheduledSpec(ctx, row)
		if err != nil {
			return err
		}
		next := following(*row.NextDispatch, row.Interval(), now)
		if err := taskdb.AdvanceSchedule(ctx, c, row.ID, now, task.row.ID, next); err != nil {
			return err
		}
		if err := taskdb.LockTimeout(ctx, c, scheduleLockWait); err != nil {
			return err
		}
		_, err = q.dispatchTx(ctx, tx, task)
		done = err == nil
		return err
	})
	return done && err == nil, err
}

// scheduledSpec returns the task of a schedule, whose arguments are sealed anew for it.
func (q *Queue) scheduledSpec(ctx context.Context, row *taskdb.Schedule) (*spec, error) {
	raw, err := openArgs(q.db, scheduleTable, row.ID, row.Args)
	if err != nil {
		return nil, fmt.Errorf("tasking: arguments of %s: %w", row.TaskName, err)
	}
	var resources Resources
	for _, name := range row.ReservedResources {
		if bare, shared := strings.CutPrefix(name, taskdb.SharedPrefix); shared {
			resources.Shared = append(resources.Shared, Named(bare)...)
		} else {
			resources.Exclusive = append(resources.Exclusive, Named(name)...)
		}
	}
	s, err := q.newSpec(ctx, row.TaskName, raw, resources, &DispatchOptions{User: row.UserID, CorrelationID: newCID()})
	if err != nil {
		return nil, err
	}
	s.row.Schedule = &row.ID
	return s, nil
}

// newCID returns a fresh correlation id.
func newCID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }
