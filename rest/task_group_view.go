package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

const taskGroupModel = "TaskGroup"

// maxGroupTasks and maxPageTasks bound the tasks that an answer about one group, or about a page of groups together,
// names; the counts are of all of them.
const (
	maxGroupTasks = 1000
	maxPageTasks  = 20000
)

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
	if err := q.window(sel, "tg", newestFirst).Scan(ctx); err != nil {
		return fmt.Errorf("rest: list task groups: %w", err)
	}
	results, err := c.taskGroupObjects(ctx, rows)
	if err != nil {
		return err
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
	return c.answerGroup(ctx, http.StatusOK, row)
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
	return c.answerGroup(ctx, status, row)
}

func (c *call) answerGroup(ctx context.Context, status int, row *models.TaskGroup) error {
	list, err := c.taskGroupObjects(ctx, []*models.TaskGroup{row})
	if err != nil {
		return err
	}
	return c.answerObject(status, list[0])
}

// taskGroupObjects renders groups; what belongs to them is read for all together.
func (c *call) taskGroupObjects(ctx context.Context, rows []*models.TaskGroup) ([]object, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	q := c.queue()
	counts, err := q.GroupCounts(ctx, ids...)
	if err != nil {
		return nil, err
	}
	reports, err := q.GroupReports(ctx, ids...)
	if err != nil {
		return nil, err
	}
	progress := map[uuid.UUID][]object{}
	for _, r := range reports {
		progress[r.TaskGroupID] = append(progress[r.TaskGroupID], object{
			{"message", r.Message}, {"code", r.Code}, {"total", r.Total}, {"done", r.Done}, {"suffix", r.Suffix},
		})
	}
	members, err := c.groupMembers(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]object, len(rows))
	for i, row := range rows {
		o := object{
			{"pulp_href", c.api.coreHref(taskGroupKind, row.ID)},
			{"prn", models.CorePRN(taskGroupKind, row.ID)},
			{"description", row.Description},
			{"all_tasks_dispatched", row.AllTasksDispatched},
		}
		for _, state := range groupStates() {
			o.set(string(state), counts[row.ID][state])
		}
		o.set("group_progress_reports", orEmpty(progress[row.ID]))
		o.set("tasks", orEmpty(members[row.ID]))
		out[i] = o
	}
	return out, nil
}

// groupMembers returns the youngest tasks of each group.
func (c *call) groupMembers(ctx context.Context, groups []uuid.UUID) (map[uuid.UUID][]object, error) {
	const columns = `pulp_id, pulp_created, pulp_last_updated, name, state, task_group_id, worker_id, unblocked_at,
		started_at, finished_at`
	limit := min(maxGroupTasks, max(1, maxPageTasks/len(groups)))
	var tasks []*models.Task
	err := c.db.Bun().NewRaw("SELECT "+columns+" FROM (SELECT "+columns+`,
			row_number() OVER (PARTITION BY task_group_id ORDER BY pulp_created DESC, pulp_id DESC) AS n
			FROM core_task WHERE task_group_id IN (?) AND pulp_domain_id = ?) AS t
		WHERE n <= ? ORDER BY n`, bun.List(groups), c.db.Domain().ID, limit).Scan(ctx, &tasks)
	if err != nil {
		return nil, fmt.Errorf("rest: tasks of groups: %w", err)
	}
	members := map[uuid.UUID][]object{}
	for _, t := range tasks {
		members[*t.TaskGroupID] = append(members[*t.TaskGroupID], c.api.minimalTask(t))
	}
	return members, nil
}

func groupStates() []models.TaskState {
	return []models.TaskState{
		models.Waiting, models.Skipped, models.Running, models.Completed, models.Canceled, models.Failed, models.Canceling,
	}
}
