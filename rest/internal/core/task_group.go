package core

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// TaskGroup is the answer about a task group.
type TaskGroup struct {
	Href        wire.Href             `json:"pulp_href" doc:"Where the resource is."`
	PRN         string                `json:"prn" doc:"The Pulp Resource Name."`
	Description string                `json:"description" doc:"What the group is for."`
	Complete    bool                  `json:"all_tasks_dispatched" doc:"Whether the group gets no more tasks."`
	Waiting     int                   `json:"waiting" doc:"How many tasks are in this state."`
	Skipped     int                   `json:"skipped" doc:"How many tasks are in this state."`
	Running     int                   `json:"running" doc:"How many tasks are in this state."`
	Completed   int                   `json:"completed" doc:"How many tasks are in this state."`
	Canceled    int                   `json:"canceled" doc:"How many tasks are in this state."`
	Failed      int                   `json:"failed" doc:"How many tasks are in this state."`
	Canceling   int                   `json:"canceling" doc:"How many tasks are in this state."`
	Progress    []GroupProgressReport `json:"group_progress_reports" doc:"How far the group is."`
	Tasks       []MinimalTask         `json:"tasks" doc:"The youngest tasks, at most 1000."`
}

// GroupProgressReport is how far a task group is.
type GroupProgressReport struct {
	Message string  `json:"message" doc:"What is counted, for people."`
	Code    string  `json:"code" doc:"What is counted, for programs."`
	Total   int64   `json:"total" doc:"How many there are."`
	Done    int64   `json:"done" doc:"How many are done."`
	Suffix  *string `json:"suffix" doc:"What the group is at."`
}

// Limits of the tasks that an answer names. The counts are of all tasks.
const (
	maxGroupTasks = 1000  // of one group
	maxPageTasks  = 20000 // of a page of groups
)

// TaskGroups renders task groups. What belongs to them is read for all together.
func TaskGroups(ctx context.Context, q *tasking.Queue, l *links.Links, rows []*models.TaskGroup) ([]TaskGroup, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	counts, err := inspect.GroupCounts(ctx, q.DB(), ids...)
	if err != nil {
		return nil, err
	}
	reports, err := inspect.GroupReports(ctx, q.DB(), ids...)
	if err != nil {
		return nil, err
	}
	progress := map[uuid.UUID][]GroupProgressReport{}
	for _, r := range reports {
		progress[r.TaskGroupID] = append(progress[r.TaskGroupID],
			GroupProgressReport{r.Message, r.Code, r.Total, r.Done, r.Suffix})
	}
	tasks, err := groupTasks(ctx, q.DB(), l, ids)
	if err != nil {
		return nil, err
	}
	out := make([]TaskGroup, len(rows))
	for i, row := range rows {
		n := counts[row.ID]
		out[i] = TaskGroup{
			Href: wire.Href(l.Href(links.TaskGroup, row.ID)), PRN: models.CorePRN(links.TaskGroup, row.ID),
			Description: row.Description, Complete: row.AllTasksDispatched,
			Waiting: n[models.Waiting], Skipped: n[models.Skipped], Running: n[models.Running],
			Completed: n[models.Completed], Canceled: n[models.Canceled], Failed: n[models.Failed],
			Canceling: n[models.Canceling],
			Progress:  orEmpty(progress[row.ID]), Tasks: orEmpty(tasks[row.ID]),
		}
	}
	return out, nil
}

// groupTasks returns the youngest tasks of each group.
func groupTasks(
	ctx context.Context, db *models.DB, l *links.Links, groups []uuid.UUID,
) (map[uuid.UUID][]MinimalTask, error) {
	const columns = `pulp_id, pulp_created, pulp_last_updated, name, state, task_group_id, worker_id, unblocked_at,
		started_at, finished_at`
	// A page of groups with many tasks each would not fit into memory.
	limit := min(maxGroupTasks, max(1, maxPageTasks/len(groups)))
	var tasks []*models.Task
	err := db.Bun().NewRaw("SELECT "+columns+" FROM (SELECT "+columns+`,
			row_number() OVER (PARTITION BY task_group_id ORDER BY pulp_created DESC, pulp_id DESC) AS n
			FROM core_task WHERE task_group_id IN (?) AND pulp_domain_id = ?) AS t
		WHERE n <= ? ORDER BY n`, bun.List(groups), db.Domain().ID, limit).Scan(ctx, &tasks)
	if err != nil {
		return nil, fmt.Errorf("rest: tasks of groups: %w", err)
	}
	members := map[uuid.UUID][]MinimalTask{}
	for _, t := range tasks {
		members[*t.TaskGroupID] = append(members[*t.TaskGroupID], MinimalTaskOf(l, t))
	}
	return members, nil
}
