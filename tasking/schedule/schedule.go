// Package schedule dispatches tasks at set times: once, or again and again after the same time.
//
// [Set] makes a schedule; workers dispatch the task when it is due. "Errors: NotFound" in a comment means that
// errors.Is(err, pulperr.NotFound) holds for the returned error.
package schedule

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Options define when a task is dispatched. The zero value of each field but Name is its default. Of the options of a
// dispatch there are no more than these: scheduled tasks have no MaxAttempts, though [tasking.Retry] works, no Group,
// no Versions but the default ones, and are not immediate.
type Options struct {
	Name string // unique within the domain; at most 255 bytes

	// Every is the time between two dispatches, at least a second. Default 0: once.
	Every time.Duration
	// Next is when the task is due. Default: now for a new schedule, and unchanged for one that exists. A time that is
	// past makes a new schedule due at once. Later runs are at Next + n·Every. Fixed durations: no cron, no time zones, no
	// daylight saving.
	Next time.Time

	Exclusive []tasking.Resource // reserved besides those of the arguments' Resources method
	Shared    []tasking.Resource

	User *int64 // who asks for the tasks; default: from ctx, see [tasking.WithUser]
}

// minInterval is the shortest interval: workers read the schedules once a second.
const minInterval = time.Second

// Set makes the schedule of that name in the queue's domain, or changes it to o. From then on workers dispatch the task
// with args when it is due and its last one, if any, has ended. One task makes up for all runs that were left out while
// no worker ran, or while a task took longer than the interval. A schedule that dispatches once stays when it is over,
// with no next dispatch.
//
// So it may be called at every start of a program: a schedule that exists goes on as it was, unless its next dispatch
// would be later than one interval from now, and one that is over is not due again unless o.Next lies after its last
// dispatch. Within a transaction, use [tasking.Queue.In] with tx.DB.
//
// Errors: Invalid for a name, an interval, arguments or resources that cannot be stored.
func Set[A any](
	ctx context.Context, q *tasking.Queue, task *tasking.Task[A], args A, o *Options,
) (*models.TaskSchedule, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	spec, err := task.Spec(ctx, q, args, &tasking.DispatchOptions{Exclusive: o.Exclusive, Shared: o.Shared, User: o.User})
	if err != nil {
		return nil, err
	}
	row, err := store(ctx, q.DB(), spec, o)
	if err != nil {
		return nil, taskdb.Wrap(err, "schedule %q", o.Name)
	}
	return row, nil
}

func (o *Options) validate() error {
	switch {
	case o.Name == "" || len(o.Name) > engine.MaxName || models.HasNUL(o.Name):
		return pulperr.Public(pulperr.Invalid, "a schedule needs a name of %d bytes at most, without a NUL", engine.MaxName)
	case o.Every != 0 && o.Every < minInterval:
		return pulperr.Public(pulperr.Invalid, "the interval of schedule %q is %s; use 0 or at least %s", o.Name, o.Every,
			minInterval)
	case !o.Next.IsZero() && (o.Next.UTC().Year() < 1 || o.Next.UTC().Year() > 9999):
		return pulperr.Public(pulperr.Invalid, "the next dispatch of schedule %q is not in the years 1 to 9999", o.Name)
	}
	return nil
}

// store inserts a schedule or changes the schedule of its name.
func store(ctx context.Context, db *models.DB, spec *engine.Spec, o *Options) (*models.TaskSchedule, error) {
	var row *taskdb.Schedule
	err := taskdb.Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		c := taskdb.On(tx.DB)
		now, err := taskdb.Clock(ctx, c)
		if err != nil {
			return err
		}
		row = newRow(spec, o, now)
		if row.Args, err = engine.SealArgs(db, engine.ScheduleTable, row.ID, spec.Raw); err != nil {
			return err
		}
		// The insert comes first: of several processes that declare a new schedule at once, one inserts it and the others
		// find its row to lock.
		if inserted, err := taskdb.InsertSchedule(ctx, c, row); err != nil || inserted {
			return err
		}
		old, err := taskdb.LockSchedule(ctx, c, row.DomainID, row.Name)
		if err != nil {
			return err
		}
		row.NextDispatch = o.again(&old.TaskSchedule, now)
		row.ID, row.Created, row.LastDispatch, row.LastTaskID = old.ID, old.Created, old.LastDispatch, old.LastTaskID
		// Sealed again, because the ciphertext is bound to the id of the row.
		if row.Args, err = engine.SealArgs(db, engine.ScheduleTable, row.ID, spec.Raw); err != nil {
			return err
		}
		return taskdb.UpdateSchedule(ctx, c, row)
	})
	if err != nil {
		return nil, err
	}
	return &row.TaskSchedule, nil
}

func newRow(spec *engine.Spec, o *Options, now time.Time) *taskdb.Schedule {
	row := &taskdb.Schedule{TaskSchedule: models.TaskSchedule{
		DomainID: spec.Row.DomainID, Name: o.Name, TaskName: spec.Row.Name, UserID: spec.Row.UserID,
		ReservedResources: spec.Row.Resources,
	}}
	row.ID, row.Created, row.Updated = models.NewID(), models.Now(), models.Now()
	if ms := o.Every.Milliseconds(); ms > 0 {
		row.IntervalMS = &ms
	}
	next := now
	if !o.Next.IsZero() {
		// Postgres keeps microseconds.
		next = o.Next.UTC().Truncate(time.Microsecond)
	}
	row.NextDispatch = &next
	return row
}

// again returns when a schedule that exists is due after o was set for it.
func (o *Options) again(old *models.TaskSchedule, now time.Time) *time.Time {
	every := o.Every.Truncate(time.Millisecond)
	if !o.Next.IsZero() {
		next := o.Next.UTC().Truncate(time.Microsecond)
		if old.LastDispatch == nil {
			return &next
		}
		return following(next, every, *old.LastDispatch)
	}
	latest := now.Add(every)
	switch next := old.NextDispatch; {
	case every == 0:
		return next
	case next == nil: // it dispatched once and is to go on
		return &now
	case next.After(latest):
		return &latest
	default:
		return next
	}
}

// following returns the first of the times next, next+every, next+2*every and so on that is after another time, or nil
// if there is none.
func following(next time.Time, every time.Duration, after time.Time) *time.Time {
	const century = 100 * 365 * 24 * time.Hour // far from the end of a Duration
	for !next.After(after) {
		if every <= 0 {
			return nil
		}
		missed := min(after.Sub(next), century)
		next = next.Add(missed - missed%every).Add(every)
	}
	return &next
}
