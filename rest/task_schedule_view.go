package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

const scheduleModel = "TaskSchedule"

func scheduleColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "name", "task_name", "next_dispatch"}
}

// scheduleParams are the filters of the list of schedules; the alias is ts.
func (a *API) scheduleParams() []*param {
	list := identityParams("ts.pulp_id")
	list = append(list, a.hrefsParam("ts.pulp_id"), a.prnsParam("ts.pulp_id"))
	for _, name := range []string{"name", "task_name"} {
		f := Filter{form: textFilter, lookups: []string{"", "contains"}}
		list = append(list, f.params(name, "ts."+name)...)
	}
	return list
}

func (a *API) addSchedules() {
	params := a.scheduleParams()
	o := operation{tag: "Task-Schedules", path: "task-schedules/", answer: "TaskScheduleResponse"}
	a.add(o.with("GET", "task_schedules_list", "List task schedules", func(ctx context.Context, c *call) error {
		return c.listSchedules(ctx, params)
	}).lists(params, scheduleColumns()))
	o.path, o.entity = "task-schedules/{pulp_id}/", "task_schedule_href"
	a.add(o.with("GET", "task_schedules_read", "Inspect a task schedule", readSchedule).sparse())
}

func (c *call) listSchedules(ctx context.Context, params []*param) error {
	q, err := c.readList(ctx, params, scheduleColumns())
	if err != nil {
		return err
	}
	count, err := q.apply(c.db.Bun().NewSelect().TableExpr("core_taskschedule AS ts").
		Where("ts.pulp_domain_id = ?", c.db.Domain().ID)).Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count task schedules: %w", err)
	}
	rows, err := c.queue().Schedules(ctx, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return q.window(q.apply(sel), "ts", newestFirst)
	})
	if err != nil {
		return err
	}
	results := make([]object, len(rows))
	for i, row := range rows {
		results[i] = c.api.scheduleObject(row)
	}
	return c.answerPage(q, count, results)
}

func readSchedule(ctx context.Context, c *call) error {
	id, err := c.id(scheduleModel)
	if err != nil {
		return err
	}
	row, err := c.queue().ScheduleByID(ctx, id)
	if errors.Is(err, pulperr.NotFound) {
		return notFound(scheduleModel)
	}
	if err != nil {
		return err
	}
	return c.answerObject(http.StatusOK, c.api.scheduleObject(row))
}

func (a *API) scheduleObject(s *models.TaskSchedule) object {
	var interval any
	if d := s.Interval(); d > 0 {
		interval = durationText(d)
	}
	return object{
		{"pulp_href", a.coreHref(scheduleKind, s.ID)},
		{"prn", models.CorePRN(scheduleKind, s.ID)},
		{"pulp_created", s.Created},
		{"pulp_last_updated", s.Updated},
		{"name", s.Name},
		{"task_name", s.TaskName},
		{"dispatch_interval", interval},
		{"next_dispatch", s.NextDispatch},
		{"last_task", a.optionalHref(taskKind, s.LastTaskID)},
	}
}

// durationText writes a duration as Pulp does: "1 02:03:04.000500" is one day and the rest, and what is zero at either
// end is left out.
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
