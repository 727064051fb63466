package work

import (
	"context"
	"errors"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

// PurgeTasks removes tasks that have ended.
var PurgeTasks = tasking.Define[PurgeArgs]("pulpcore.app.tasks.purge.purge")

// PurgeArgs select the tasks that are removed: they ended before a time or, for a schedule, longer ago than an age.
type PurgeArgs struct {
	Before     time.Time          `json:"before,omitzero"`
	Age        time.Duration      `json:"age,omitempty"`
	States     []models.TaskState `json:"states"`
	AllDomains bool               `json:"all_domains,omitempty"`
}

const (
	// purgeSchedule is the name of the schedule that purges tasks.
	purgeSchedule = "Purge tasks"
	// PurgeAge is the age of tasks from which a client purges them by default.
	PurgeAge = 30 * 24 * time.Hour
)

// SchedulePurge makes the workers of q remove tasks that ended longer than age ago, in all domains and in every
// final state. They do it once in each age, but at most once a minute. Age 0 ends that.
func SchedulePurge(ctx context.Context, q *tasking.Queue, age time.Duration) error {
	if age <= 0 {
		// The schedule does not exist if the age was 0 before.
		if err := schedule.Delete(ctx, q.DB(), purgeSchedule); !errors.Is(err, pulperr.NotFound) {
			return err
		}
		return nil
	}
	args := PurgeArgs{Age: age, States: finalStates(), AllDomains: true}
	_, err := schedule.Set(ctx, q, PurgeTasks, args, &schedule.Options{Name: purgeSchedule, Every: max(age, time.Minute)})
	return err
}

func finalStates() []models.TaskState {
	return []models.TaskState{models.Skipped, models.Completed, models.Failed, models.Canceled}
}

// runPurge reports in the order that clients expect: the sum, the tasks, the tasks that stay, and then the other rows.
func runPurge(ctx context.Context, env *tasking.Env, a PurgeArgs) error {
	before := a.Before
	if a.Age > 0 {
		before = models.Now().Add(-a.Age)
	}
	var done inspect.Purged
	const sum = "Purged task-related-objects total"
	err := env.Progress(ctx, sum, "purge.tasks.total", func(total *tasking.Progress) error {
		return env.Progress(ctx, purgedMessage("Task"), purgedCode("Task"), func(tasks *tasking.Progress) error {
			return env.Progress(ctx, "Tasks failed to purge", "purge.tasks.error", func(failed *tasking.Progress) error {
				show := func(p inspect.Purged) {
					setDone(total, p.Total())
					setDone(tasks, p.Tasks)
					setDone(failed, p.Failed)
				}
				show(inspect.Purged{})
				var err error
				done, err = inspect.Purge(ctx, env.Queue.DB(), before, &inspect.PurgeOptions{
					Log:    env.Log,
					States: a.States, AllDomains: a.AllDomains, Done: show,
				})
				return err
			})
		})
	})
	for _, other := range []struct {
		model string
		n     int64
	}{
		{"ProgressReport", done.ProgressReports},
		{"CreatedResource", done.CreatedResources},
		{"TaskGroup", done.Groups},
		{"GroupProgressReport", done.GroupReports},
	} {
		if err != nil || other.n == 0 {
			continue
		}
		err = env.Progress(ctx, purgedMessage(other.model), purgedCode(other.model), func(p *tasking.Progress) error {
			setDone(p, other.n)
			return nil
		})
	}
	return err
}

func purgedMessage(model string) string { return "Purged task-objects of type core." + model }

func purgedCode(model string) string { return "purge.tasks.key.core." + model }

// setDone reports n units. Their total was not known before.
func setDone(p *tasking.Progress, n int64) {
	p.SetTotal(n)
	p.SetDone(n)
}
