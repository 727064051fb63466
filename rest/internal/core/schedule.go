package core

import (
	"fmt"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// TaskSchedule is the answer about a schedule.
type TaskSchedule struct {
	Row
	Name     string     `json:"name" doc:"The name of the schedule."`
	TaskName string     `json:"task_name" doc:"The name of the task that is dispatched."`
	Interval *string    `json:"dispatch_interval" doc:"The time between two dispatches; none means once."`
	Next     *wire.Time `json:"next_dispatch" doc:"When the task is due."`
	LastTask *wire.Href `json:"last_task" doc:"The task that was dispatched last."`
}

// ScheduleOf renders a schedule.
func ScheduleOf(l *links.Links, s *models.TaskSchedule) TaskSchedule {
	out := TaskSchedule{
		Row: rowOf(l, links.Schedule, s.Base), Name: s.Name, TaskName: s.TaskName,
		Next: wire.TimeOrNull(s.NextDispatch), LastTask: href(l, links.Task, s.LastTaskID),
	}
	if d := s.Interval(); d > 0 {
		out.Interval = new(durationText(d))
	}
	return out
}

// durationText writes a duration as Pulp does: "1 02:03:04.000500" is one day, two hours and so on. Days and
// microseconds are left out if they are zero.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	text := fmt.Sprintf("%02d:%02d:%02d", d%day/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	if d >= day {
		text = fmt.Sprintf("%d %s", d/day, text)
	}
	if micros := d % time.Second / time.Microsecond; micros > 0 {
		text += fmt.Sprintf(".%06d", micros)
	}
	return text
}

// ScheduleColumns returns what lists of schedules can be ordered by.
func ScheduleColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "name", "task_name", "next_dispatch"}
}

// ScheduleParams returns the filters of lists of schedules, with the table's alias ts.
func ScheduleParams(refs query.References) []*query.Param {
	list := refs.Identity("ts.pulp_id")
	for _, name := range []string{"name", "task_name"} {
		list = append(list, query.TextFilter("contains").Params(name, "ts."+name)...)
	}
	return list
}
