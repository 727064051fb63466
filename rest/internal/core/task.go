package core

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// MinimalTask is what an answer about a task has without further statements.
type MinimalTask struct {
	Row
	APIVersion  string           `json:"pulp_api_version" doc:"The version of the API that the task was dispatched by."`
	Name        string           `json:"name" doc:"The name of the task."`
	State       models.TaskState `json:"state" doc:"The state: waiting, running, completed, failed and so on."`
	UnblockedAt *wire.Time       `json:"unblocked_at" doc:"When the resources of the task became free."`
	StartedAt   *wire.Time       `json:"started_at" doc:"When the task was started last."`
	FinishedAt  *wire.Time       `json:"finished_at" doc:"When the task ended."`
	Worker      *wire.Href       `json:"worker" doc:"The worker that runs the task; null once it has ended."`
}

// Task is the answer about a task.
type Task struct {
	MinimalTask
	LoggingCID  string           `json:"logging_cid" doc:"The correlation id of the request that dispatched it."`
	CreatedBy   *wire.Href       `json:"created_by" doc:"The user who dispatched it."`
	Error       any              `json:"error" doc:"Why the task failed or was canceled."`
	Parent      *wire.Href       `json:"parent_task" doc:"The task that dispatched it."`
	Children    []wire.Href      `json:"child_tasks" doc:"The tasks that it dispatched."`
	Group       *wire.Href       `json:"task_group" doc:"The group that it belongs to."`
	Progress    []ProgressReport `json:"progress_reports" doc:"What it reports about its progress."`
	Resources   []*wire.Href     `json:"created_resources" doc:"What it created; null for a resource without a view."`
	CreatedPRNs []string         `json:"created_resource_prns" doc:"The PRNs of what it created."`
	Reserved    []string         `json:"reserved_resources_record" doc:"What it reserves, shared: before what it shares."`
	Result      json.RawMessage  `json:"result" doc:"What it returned."`
}

// ProgressReport is how far a step of a task is.
type ProgressReport struct {
	Message string           `json:"message" doc:"What is counted, for people."`
	Code    string           `json:"code" doc:"What is counted, for programs."`
	State   models.TaskState `json:"state" doc:"The state of the step."`
	Total   *int64           `json:"total" doc:"How many there are; null if not known."`
	Done    int64            `json:"done" doc:"How many are done."`
	Suffix  *string          `json:"suffix" doc:"What the step is at."`
}

// MinimalTaskOf renders a task without further statements.
func MinimalTaskOf(l *links.Links, t *models.Task) MinimalTask {
	m := MinimalTask{
		Row: rowOf(l, links.Task, t.Base), APIVersion: "v3", Name: t.Name, State: t.State,
		UnblockedAt: wire.TimeOrNull(t.UnblockedAt), StartedAt: wire.TimeOrNull(t.StartedAt),
		FinishedAt: wire.TimeOrNull(t.FinishedAt),
	}
	// The worker of a task that has ended may be gone.
	if !t.State.Final() {
		m.Worker = href(l, links.Worker, t.WorkerID)
	}
	return m
}

func href(l *links.Links, kind string, id *uuid.UUID) *wire.Href {
	return (*wire.Href)(l.HrefOrNull(kind, id))
}

// Tasks renders tasks of a queue. What belongs to them is read for all together.
func Tasks(ctx context.Context, q *tasking.Queue, l *links.Links, rows []*models.Task) ([]Task, error) {
	parts, err := loadTasks(ctx, q, l, rows)
	if err != nil {
		return nil, err
	}
	out := make([]Task, len(rows))
	for i, t := range rows {
		task := Task{
			MinimalTask: MinimalTaskOf(l, t), LoggingCID: t.LoggingCID, Parent: href(l, links.Task, t.ParentTaskID),
			Children: orEmpty(parts.children[t.ID]), Group: href(l, links.TaskGroup, t.TaskGroupID),
			Progress: orEmpty(parts.reports[t.ID]), Resources: []*wire.Href{}, CreatedPRNs: orEmpty(parts.created[t.ID]),
			Reserved: orEmpty(t.ReservedResources), Result: t.Result, Error: t.Error,
		}
		for _, prn := range parts.created[t.ID] {
			task.Resources = append(task.Resources, (*wire.Href)(parts.hrefs[prn]))
		}
		if t.UserID != nil {
			task.CreatedBy = new(wire.Href(fmt.Sprintf("%susers/%d/", l.Base, *t.UserID)))
		}
		// encoding/json fails on a RawMessage that is empty and not nil.
		if len(t.Result) == 0 {
			task.Result = nil
		}
		out[i] = task
	}
	return out, nil
}

// taskParts is what belongs to tasks, by task.
type taskParts struct {
	reports  map[uuid.UUID][]ProgressReport
	created  map[uuid.UUID][]string // PRNs
	hrefs    map[string]*string     // by PRN
	children map[uuid.UUID][]wire.Href
}

func loadTasks(ctx context.Context, q *tasking.Queue, l *links.Links, rows []*models.Task) (*taskParts, error) {
	p := &taskParts{
		reports: map[uuid.UUID][]ProgressReport{}, created: map[uuid.UUID][]string{},
		children: map[uuid.UUID][]wire.Href{},
	}
	if len(rows) == 0 {
		return p, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, t := range rows {
		ids[i] = t.ID
	}
	reports, err := inspect.ProgressReports(ctx, q.DB(), ids...)
	if err != nil {
		return nil, err
	}
	for _, r := range reports {
		p.reports[r.TaskID] = append(p.reports[r.TaskID],
			ProgressReport{r.Message, r.Code, r.State, r.Total, r.Done, r.Suffix})
	}
	created, err := inspect.CreatedResources(ctx, q.DB(), ids...)
	if err != nil {
		return nil, err
	}
	var prns []string
	for _, cr := range created {
		// What a task did not finish is deleted when the task ends.
		if !cr.Incomplete {
			p.created[cr.TaskID] = append(p.created[cr.TaskID], cr.PRN)
			prns = append(prns, cr.PRN)
		}
	}
	if p.hrefs, err = l.Hrefs(ctx, q.DB(), prns); err != nil {
		return nil, err
	}
	return p, p.loadChildren(ctx, q.DB(), l, ids)
}

func (p *taskParts) loadChildren(ctx context.Context, db *models.DB, l *links.Links, ids []uuid.UUID) error {
	var children []struct {
		ID     uuid.UUID `bun:"pulp_id"`
		Parent uuid.UUID `bun:"parent_task_id"`
	}
	err := db.Bun().NewSelect().TableExpr("core_task").Column("pulp_id", "parent_task_id").
		Where("parent_task_id IN (?)", bun.List(ids)).OrderExpr("pulp_id").Scan(ctx, &children)
	if err != nil {
		return fmt.Errorf("rest: child tasks: %w", err)
	}
	for _, child := range children {
		p.children[child.Parent] = append(p.children[child.Parent], wire.Href(l.Href(links.Task, child.ID)))
	}
	return nil
}
