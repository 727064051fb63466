package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

const taskGroupModel = "TaskGroup"

// maxGroupTasks bounds the tasks that an answer about a group names; the counts are of all of them.
const maxGroupTasks = 1000

func (a *API) addTaskGroups() {
	o := operation{tag: "Task-Groups", path: "task-groups/", answer: "TaskGroupResponse"}
	a.add(o.with("GET", "task_groups_list", "List task groups", listTaskGroups).lists(nil, nil))
	o.path, o.entity = "task-groups/{pulp_id}/", "task_group_href"
	a.add(o.with("GET", "task_groups_read", "Inspect a task group", readTaskGroup).sparse())
	a.add(o.with("PATCH", "task_groups_cancel", "Cancel a task group", cancelTaskGroup).
		takes("PatchedTaskCancel").answers(http.StatusOK, http.StatusConflict))
}

func listTaskGroups(ctx context.Context, c *call) error {
	q, err := c.readList(ctx, nil, nil)
	if err != nil {
		return err
	}
	var rows []*models.TaskGroup
	sel := c.db.Bun().NewSelect().Model(&rows).Where("tg.pulp_domain_id = ?", c.db.Domain().ID)
	count, err := sel.Clone().Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count task groups: %w", err)
	}
	if err := q.window(sel, "tg", "-pulp_created", "pulp_id").Scan(ctx); err != nil {
		return fmt.Errorf("rest: list task groups: %w", err)
	}
	results := make([]object, len(rows))
	for i, row := range rows {
		if results[i], err = c.taskGroupObject(ctx, row); err != nil {
			return err
		}
	}
	return c.answerPage(q, count, results)
}

// taskGroup returns the group that the request's path names.
func (c *call) taskGroup(ctx context.Context) (*tasking.Group, *models.TaskGroup, error) {
	id, err := c.id(taskGroupModel)
	if err != nil {
		return nil, nil, err
	}
	g, err := c.queue().Group(ctx, id)
	if errors.Is(err, pulperr.NotFound) {
		return nil, nil, notFound(taskGroupModel)
	}
	if err != nil {
		return nil, nil, err
	}
	row, err := g.Row(ctx)
	return g, row, err
}

func readTaskGroup(ctx context.Context, c *call) error {
	_, row, err := c.taskGroup(ctx)
	if err != nil {
		return err
	}
	o, err := c.taskGroupObject(ctx, row)
	if err != nil {
		return err
	}
	return c.answerObject(http.StatusOK, o)
}

func cancelTaskGroup(ctx context.Context, c *call) error {
	g, _, err := c.taskGroup(ctx)
	if err != nil {
		return err
	}
	if err := readCancel(c); err != nil {
		return err
	}
	counts, err := g.Counts(ctx)
	if err != nil {
		return err
	}
	status := http.StatusConflict
	if counts[models.Waiting]+counts[models.Running]+counts[models.Canceling] > 0 {
		status = http.StatusOK
	}
	if err := g.Cancel(ctx); err != nil {
		return err
	}
	row, err := g.Row(ctx)
	if err != nil {
		return err
	}
	o, err := c.taskGroupObject(ctx, row)
	if err != nil {
		return err
	}
	return c.answerObject(status, o)
}

func (c *call) taskGroupObject(ctx context.Context, row *models.TaskGroup) (object, error) {
	q := c.queue()
	g, err := q.Group(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	counts, err := g.Counts(ctx)
	if err != nil {
		return nil, err
	}
	reports, err := g.Reports(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := q.List(ctx, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return sel.Where("t.task_group_id = ?", row.ID).Limit(maxGroupTasks)
	})
	if err != nil {
		return nil, err
	}
	o := object{
		{"pulp_href", c.api.coreHref(taskGroupKind, row.ID)},
		{"prn", models.CorePRN(taskGroupKind, row.ID)},
		{"description", row.Description},
		{"all_tasks_dispatched", row.AllTasksDispatched},
	}
	for _, state := range groupStates() {
		o.set(string(state), counts[state])
	}
	progress := make([]object, len(reports))
	for i, r := range reports {
		progress[i] = object{
			{"message", r.Message}, {"code", r.Code}, {"total", r.Total}, {"done", r.Done}, {"suffix", r.Suffix},
		}
	}
	members := make([]object, len(tasks))
	for i, t := range tasks {
		members[i] = c.api.minimalTask(t)
	}
	o.set("group_progress_reports", progress)
	o.set("tasks", members)
	return o, nil
}

func groupStates() []models.TaskState {
	return []models.TaskState{
		models.Waiting, models.Skipped, models.Running, models.Completed, models.Canceled, models.Failed, models.Canceling,
	}
}
