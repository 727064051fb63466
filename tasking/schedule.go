package tasking

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Schedule says when a task is dispatched, see [Task.Schedule]. The zero value of each field but Name is its default.
// Of [DispatchOptions] there are no more than these: scheduled tasks have no MaxAttempts, though [Retry] works, no
// Group, no Versions but the default ones, and are not immediate.
type Schedule struct {
	Name string // unique within the domain; at most 255 bytes

	// Every is the time between two dispatches, at least a second. Default 0: once.
	Every time.Duration
	// Next is when the task is due. Default: now for a new schedule, and unchanged for one that exists. A time that is
	// past makes a new schedule due at once. Later runs are at Next + n·Every. Fixed durations: no cron, no time zones, no
	// daylight saving.
	Next time.Time

	Exclusive []Resource // reserved besides those of the arguments' Resources method
	Shared    []Resource

	User *int64 // who asks for the tasks; default: from ctx, see [WithUser]
}

// minInterval is the shortest interval: workers look at the schedules once a second.
const minInterval = time.Second

// Schedule makes the schedule of that name in the queue's domain, or changes it to what s says. From then on workers
// dispatch the task with args when it is due and its last one, if any, has ended. One task makes up for all runs that
// were left out while no worker ran, or while a task took longer than the interval. A schedule that dispatches once
// stays when it is over, with no next dispatch.
//
// So it may be called at every start of a program: a schedule that exists goes on as it was, unless its next dispatch
// would be later than one interval from now, and one that is over is not due again unless s.Next lies after its last
// dispatch. Within a transaction, use [Queue.In] with tx.DB.
//
// Errors: Invalid for a name, an interval, arguments or resources that cannot be stored.
func (t *Task[A]) Schedule(ctx context.Context, q *Queue, args A, s Schedule) (*models.TaskSchedule, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	o := &DispatchOptions{Exclusive: s.Exclusive, Shared: s.Shared, User: s.User}
	sp, err := t.spec(ctx, q, args, o)
	if err != nil {
		return nil, err
	}
	return q.schedule(ctx, sp, s)
}

func (s Schedule) validate() error {
	switch {
	case s.Name == "" || len(s.Name) > maxName || models.HasNUL(s.Name):
		return pulperr.Public(pulperr.Invalid, "the name of a schedule is empty, too long or contains a NUL")
	case s.Every != 0 && s.Every < minInterval:
		return pulperr.Public(pulperr.Invalid, "the interval of schedule %q is less than a second", s.Name)
	case !s.Next.IsZero() && (s.Next.UTC().Year() < 1 || s.Next.UTC().Year() > 9999):
		return pulperr.Public(pulperr.Invalid, "the next dispatch of schedule %q is out of range", s.Name)
	}
	return nil
}

// schedule inserts a schedule or changes the one that has its name.
func (q *Queue) schedule(ctx context.Context, sp *spec, s Schedule) (*models.TaskSchedule, error) {
	var row *taskdb.Schedule
	err := taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
		now, err := q.kind.Clock(ctx, tx.Bun())
		if err != nil {
			return err
		}
		row = newScheduleRow(sp, s, now)
		if row.Args, err = sealArgs(q.db, scheduleTable, row.ID, sp.raw); err != nil {
			return err
		}
		res, err := tx.Bun().NewInsert().Model(row).On("CONFLICT (pulp_domain_id, name) DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		old, err := taskdb.LockSchedule(ctx, taskdb.On(tx.DB), row.DomainID, row.Name)
		if err != nil {
			return err
		}
		row.NextDispatch = s.again(&old.TaskSchedule, now)
		row.ID, row.Created, row.LastDispatch, row.LastTaskID = old.ID, old.Created, old.LastDispatch, old.LastTaskID
		if row.Args, err = sealArgs(q.db, scheduleTable, row.ID, sp.raw); err != nil {
			return err
		}
		_, err = tx.Bun().NewUpdate().Model(row).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return nil, taskdb.Wrap(err, "schedule %q", s.Name)
	}
	return &row.TaskSchedule, nil
}

func newScheduleRow(sp *spec, s Schedule, now time.Time) *taskdb.Schedule {
	row := &taskdb.Schedule{TaskSchedule: models.TaskSchedule{
		DomainID: sp.row.DomainID, Name: s.Name, TaskName: sp.row.Name, UserID: sp.row.UserID,
		ReservedResources: sp.row.Resources,
	}}
	row.ID, row.Created, row.Updated = models.NewID(), models.Now(), models.Now()
	if ms := s.Every.Milliseconds(); ms > 0 {
		row.IntervalMS = &ms
	}
	next := now
	if !s.Next.IsZero() {
		next = s.Next.UTC().Truncate(time.Microsecond)
	}
	row.NextDispatch = &next
	return row
}

// again returns when a schedule that exists is due after s was declared for it.
func (s Schedule) again(old *models.TaskSchedule, now time.Time) *time.Time {
	every := s.Every.Truncate(time.Millisecond)
	if !s.Next.IsZero() {
		next := s.Next.UTC().Truncate(time.Microsecond)
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
