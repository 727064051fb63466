package rest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

var purgeTasks = tasking.Define[purgeArgs]("pulpcore.app.tasks.purge.purge")

// purgeArgs say which tasks go: those that ended before a time or, for a schedule, longer ago than an age.
type purgeArgs struct {
	Before     time.Time          `json:"before,omitzero"`
	Age        time.Duration      `json:"age,omitempty"`
	States     []models.TaskState `json:"states"`
	AllDomains bool               `json:"all_domains,omitempty"`
}

const (
	// purgeSchedule is the name of the schedule that purges tasks.
	purgeSchedule = "Purge tasks"
	// purgeAge is how old tasks are that a client purges without saying so.
	purgeAge = 30 * 24 * time.Hour
)

// SchedulePurge makes the workers of q remove tasks that ended longer than age ago, in all domains and whatever their
// final state. They do it every age, but once a minute at most. If age is 0 they do it no more.
func SchedulePurge(ctx context.Context, q *tasking.Queue, age time.Duration) error {
	if age <= 0 {
		if err := q.Unschedule(ctx, purgeSchedule); !errors.Is(err, pulperr.NotFound) {
			return err
		}
		return nil
	}
	args := purgeArgs{Age: age, States: finalStates(), AllDomains: true}
	_, err := purgeTasks.Schedule(ctx, q, args, tasking.Schedule{Name: purgeSchedule, Every: max(age, time.Minute)})
	return err
}

func finalStates() []models.TaskState {
	return []models.TaskState{models.Skipped, models.Completed, models.Failed, models.Canceled}
}

// runPurge reports as clients expect it: the sum, the tasks, those that stay, and then whatever else there was.
func runPurge(ctx context.Context, env *tasking.Env, a purgeArgs) error {
	before := a.Before
	if a.Age > 0 {
		before = models.Now().Add(-a.Age)
	}
	var done tasking.Purged
	const sum = "Purged task-related-objects total"
	err := env.Progress(ctx, sum, "purge.tasks.total", func(total *tasking.Progress) error {
		return env.Progress(ctx, purgedMessage("Task"), purgedCode("Task"), func(tasks *tasking.Progress) error {
			return env.Progress(ctx, "Tasks failed to purge", "purge.tasks.error", func(failed *tasking.Progress) error {
				show := func(p tasking.Purged) {
					setDone(total, p.Total())
					setDone(tasks, p.Tasks)
					setDone(failed, p.Failed)
				}
				show(tasking.Purged{})
				var err error
				done, err = env.Queue.Purge(ctx, before, &tasking.PurgeOptions{
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

// setDone reports n units, of which nobody knew before how many there would be.
func setDone(p *tasking.Progress, n int64) {
	p.SetTotal(n)
	p.SetDone(n)
}

// purgeInput is the body of a purge.
type purgeInput struct {
	FinishedBefore time.Time
	States         []string
}

func purgeFields() []*field {
	return []*field{
		{
			name: "finished_before", form: timeForm, goType: reflect.TypeFor[time.Time](), index: []int{0}, own: true,
			doc: "Purge tasks that ended before this time. Default: 30 days ago.",
		},
		{
			name: "states", form: listForm, goType: reflect.TypeFor[[]string](), index: []int{1}, own: true,
			doc: "Purge tasks in these states.", def: []string{string(models.Completed)},
		},
	}
}

func (a *API) addPurge(o operation) {
	fields := purgeFields()
	a.schemas.addRequest("Purge", fields, false, false)
	item := a.schemas["Purge"].Value.Properties["states"].Value.Items.Value
	for _, s := range finalStates() {
		item.Enum = append(item.Enum, string(s))
	}
	o.path, o.minimal = "tasks/purge/", false
	a.add(o.with("POST", "tasks_purge", "Purge completed tasks", func(ctx context.Context, c *call) error {
		return c.purgeTasks(ctx, fields)
	}).takes("Purge").accepts())
}

func (c *call) purgeTasks(ctx context.Context, fields []*field) error {
	in := purgeInput{FinishedBefore: models.Now().Add(-purgeAge)}
	if err := c.decodeInput(ctx, fields, &in); err != nil {
		return err
	}
	args := purgeArgs{Before: in.FinishedBefore, States: []models.TaskState{}}
	faults := FieldErrors{}
	for _, s := range in.States {
		if !models.TaskState(s).Final() {
			faults.add("states", fmt.Sprintf("\"%s\" is not a valid choice.", s))
		}
		args.States = append(args.States, models.TaskState(s))
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	ticket, err := purgeTasks.Dispatch(ctx, c.queue(), args)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}
