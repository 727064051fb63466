package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

const taskModel = "Task"

func taskStates() []string {
	return []string{
		string(models.Canceled), string(models.Canceling), string(models.Completed), string(models.Failed),
		string(models.Running), string(models.Skipped), string(models.Waiting),
	}
}

// taskParams are the filters of the list of tasks; the alias is t.
func (a *API) taskParams() []*param {
	list := identityParams("t.pulp_id")
	list = append(list, a.hrefsParam("t.pulp_id"), a.prnsParam("t.pulp_id"))
	text := func(lookups ...string) Filter { return Filter{form: textFilter, lookups: lookups} }
	list = append(list, text("", "in", "ne").OneOf(taskStates()...).params("state", "t.state")...)
	list = append(list, text("", "in", "ne", "contains").params("name", "t.name")...)
	list = append(list, text("", "contains").params("logging_cid", "t.logging_cid")...)
	for _, name := range []string{"pulp_created", "unblocked_at", "started_at", "finished_at"} {
		list = append(list, Date.params(name, "t."+name)...)
	}
	list = append(list, a.refParam("parent_task", taskKind, "t.parent_task_id"),
		a.refParam("task_group", taskGroupKind, "t.task_group_id"), a.refParam("worker", workerKind, "t.worker_id"),
		a.childParam(), a.createdParam())
	for _, name := range []string{"reserved_resources", "exclusive_resources", "shared_resources"} {
		list = append(list, a.reservedParam(name, name), a.reservedParam(name+"__in", name))
	}
	return list
}

func (a *API) childParam() *param {
	return &param{
		name: "child_tasks", doc: "href or PRN of a task", form: textFilter, needed: true,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			t, ok := a.parseRef(raw)
			if !ok || t.kind != taskKind {
				return nil, badURI(raw)
			}
			return []cond{{"t.pulp_id = (SELECT x.parent_task_id FROM core_task AS x WHERE x.pulp_id = ?)", []any{t.id}}}, nil
		},
	}
}

// prnOf returns the PRN of the row that an href or a PRN names.
func (a *API) prnOf(ctx context.Context, db *models.DB, text string) (string, error) {
	t, ok := a.parseRef(text)
	switch {
	case !ok:
		return "", badURI(text)
	case t.kind == versionKind:
		id, _, err := a.find(ctx, db, t)
		return models.CorePRN(versionKind, id), err
	case t.view == nil:
		return models.CorePRN(t.kind, t.id), nil
	}
	plugin, _, _ := cutType(t.view.typ.Name())
	return models.PRN{Plugin: plugin, Model: models.PRNModel(t.view.typ), ID: t.id}.String(), nil
}

func (a *API) createdParam() *param {
	return &param{
		name: "created_resources", doc: "href or PRN", form: textFilter, needed: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			prn, err := a.prnOf(ctx, c.db, raw)
			if err != nil {
				return nil, err
			}
			return []cond{{`t.pulp_id IN (SELECT cr.task_id FROM core_createdresource AS cr WHERE cr.prn = ?)`, []any{prn}}}, nil
		},
	}
}

// reservedParam narrows tasks to those that reserved something, or with __in all of several things. What is no href or
// PRN is the name of some other resource, which maybe no task reserved.
func (a *API) reservedParam(name, what string) *param {
	array := name != what
	return &param{
		name: name, doc: "href or PRN", form: textFilter, array: array, needed: !array,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			texts := []string{raw}
			if array {
				texts = strings.Split(raw, ",")
			}
			var list []cond
			for _, text := range texts {
				resource := text
				if _, ok := a.parseRef(text); ok {
					var err error
					if resource, err = a.prnOf(ctx, c.db, text); err != nil {
						return nil, err
					}
				}
				if models.HasNUL(resource) || strings.HasPrefix(resource, "shared:") { // no name begins so
					return []cond{{expr: "FALSE"}}, nil
				}
				names := map[string][]string{
					"shared_resources": {"shared:" + resource}, "exclusive_resources": {resource},
					"reserved_resources": {resource, "shared:" + resource},
				}[what]
				expr, args := c.db.Conn().Kind.Reserves(names...)
				list = append(list, cond{expr, args})
			}
			return list, nil
		},
	}
}

func taskColumns() []string {
	return []string{
		"pulp_id", "pulp_created", "pulp_last_updated", "state", "name", "logging_cid", "unblocked_at", "started_at",
		"finished_at",
	}
}

func (a *API) addTasks() {
	params := a.taskParams()
	o := operation{tag: "Tasks", path: "tasks/", answer: "TaskResponse", minimal: true}
	a.add(o.with("GET", "tasks_list", "List tasks", func(ctx context.Context, c *call) error {
		return c.listTasks(ctx, params)
	}).lists(params, taskColumns()))
	a.addPurge(o)
	o.path, o.entity = "tasks/{pulp_id}/", "task_href"
	a.add(o.with("GET", "tasks_read", "Inspect a task", readTask).sparse())
	o.minimal = false
	a.add(o.with("PATCH", "tasks_cancel", "Cancel a task", cancelTask).
		takes("PatchedTaskCancel").answers(http.StatusOK, http.StatusConflict))
	a.add(o.with("DELETE", "tasks_delete", "Delete a task", deleteTask).answers(http.StatusNoContent))
}

func isMinimal(r *http.Request) bool {
	v, reasons := parseBool(r.URL.Query().Get("minimal"))
	return reasons == nil && v == true
}

func (c *call) listTasks(ctx context.Context, params []*param) error {
	q, err := c.readList(ctx, params, taskColumns(), "minimal")
	if err != nil {
		return err
	}
	count, err := q.apply(c.db.Bun().NewSelect().TableExpr("core_task AS t").
		Where("t.pulp_domain_id = ?", c.db.Domain().ID)).Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count tasks: %w", err)
	}
	rows, err := c.queue().List(ctx, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return q.window(q.apply(sel), "t")
	})
	if err != nil {
		return err
	}
	results, err := c.taskObjects(ctx, rows, isMinimal(c.r))
	if err != nil {
		return err
	}
	return c.answerPage(q, count, results)
}

// task returns the task that the request's path names.
func (c *call) task(ctx context.Context) (*models.Task, error) {
	id, err := c.id(taskModel)
	if err != nil {
		return nil, err
	}
	t, err := c.queue().Get(ctx, id)
	if errors.Is(err, pulperr.NotFound) {
		return nil, notFound(taskModel)
	}
	return t, err
}

func (c *call) answerTask(ctx context.Context, status int, t *models.Task, minimal bool) error {
	list, err := c.taskObjects(ctx, []*models.Task{t}, minimal)
	if err != nil {
		return err
	}
	return c.answerObject(status, list[0])
}

func readTask(ctx context.Context, c *call) error {
	t, err := c.task(ctx)
	if err != nil {
		return err
	}
	return c.answerTask(ctx, http.StatusOK, t, isMinimal(c.r))
}

// readCancel checks the body of a cancellation.
func readCancel(c *call) error {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return err
	}
	faults := FieldErrors{}
	b.expect(faults, nil, "state")
	if state, ok := b["state"]; !ok {
		faults.add("state", msgRequired)
	} else if state != string(models.Canceled) {
		faults.add("state", "The only acceptable value for 'state' is 'canceled'.")
	}
	return faults.orNil()
}

func cancelTask(ctx context.Context, c *call) error {
	t, err := c.task(ctx)
	if err != nil {
		return err
	}
	if err := readCancel(c); err != nil {
		return err
	}
	status := http.StatusConflict
	if !t.State.Final() {
		status = http.StatusOK
		var canceled *models.Task
		canceled, err = c.queue().Cancel(ctx, t.ID)
		switch {
		case errors.Is(err, pulperr.Conflict): // it ended meanwhile
			status = http.StatusConflict
			if t, err = c.task(ctx); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			t = canceled
		}
	}
	return c.answerTask(ctx, status, t, false)
}

func deleteTask(ctx context.Context, c *call) error {
	t, err := c.task(ctx)
	if err != nil {
		return err
	}
	if err := c.queue().Delete(ctx, t.ID); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// taskObjects renders tasks; what belongs to them is read for all together.
func (c *call) taskObjects(ctx context.Context, rows []*models.Task, minimal bool) ([]object, error) {
	out := make([]object, 0, len(rows))
	if minimal {
		for _, t := range rows {
			out = append(out, c.api.minimalTask(t))
		}
		return out, nil
	}
	more, err := c.loadTasks(ctx, rows)
	if err != nil {
		return nil, err
	}
	for _, t := range rows {
		out = append(out, c.api.taskObject(t, more))
	}
	return out, nil
}

// taskParts is what belongs to tasks, by task.
type taskParts struct {
	reports  map[uuid.UUID][]object
	created  map[uuid.UUID][]string // PRNs
	hrefs    map[string]any         // by PRN
	children map[uuid.UUID][]string
}

func (c *call) loadTasks(ctx context.Context, rows []*models.Task) (*taskParts, error) {
	p := &taskParts{
		reports: map[uuid.UUID][]object{}, created: map[uuid.UUID][]string{}, children: map[uuid.UUID][]string{},
	}
	if len(rows) == 0 {
		return p, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, t := range rows {
		ids[i] = t.ID
	}
	q := c.queue()
	reports, err := q.ProgressReports(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for _, r := range reports {
		p.reports[r.TaskID] = append(p.reports[r.TaskID], object{
			{"message", r.Message},
			{"code", r.Code},
			{"state", r.State},
			{"total", r.Total},
			{"done", r.Done},
			{"suffix", r.Suffix},
		})
	}
	created, err := q.CreatedResources(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var prns []string
	for _, cr := range created {
		if !cr.Incomplete {
			p.created[cr.TaskID] = append(p.created[cr.TaskID], cr.PRN)
			prns = append(prns, cr.PRN)
		}
	}
	if p.hrefs, err = c.hrefsOf(ctx, prns); err != nil {
		return nil, err
	}
	var children []struct {
		ID     uuid.UUID `bun:"pulp_id"`
		Parent uuid.UUID `bun:"parent_task_id"`
	}
	err = c.db.Bun().NewSelect().TableExpr("core_task").Column("pulp_id", "parent_task_id").
		Where("parent_task_id IN (?)", bun.List(ids)).OrderExpr("pulp_id").Scan(ctx, &children)
	if err != nil {
		return nil, fmt.Errorf("rest: child tasks: %w", err)
	}
	for _, child := range children {
		p.children[child.Parent] = append(p.children[child.Parent], c.api.coreHref(taskKind, child.ID))
	}
	return p, nil
}

// hrefsOf returns the hrefs of rows by their PRNs; nil where none is served.
func (c *call) hrefsOf(ctx context.Context, prns []string) (map[string]any, error) {
	hrefs := make(map[string]any, len(prns))
	r := c.api.newRenderer(c.db)
	var versions []target
	for _, prn := range prns {
		t, ok := c.api.parsePRN(prn)
		switch {
		case !ok:
		case t.kind == versionKind:
			r.want(versionKind, t.id)
			versions = append(versions, t)
		case t.view != nil:
			hrefs[prn] = c.api.href(t.view, t.id)
		default:
			hrefs[prn] = c.api.coreHref(t.kind, t.id)
		}
	}
	if err := r.loadRefs(ctx); err != nil {
		return nil, err
	}
	for _, t := range versions {
		hrefs[models.CorePRN(versionKind, t.id)] = r.ref(versionKind, t.id)
	}
	return hrefs, nil
}

func (a *API) minimalTask(t *models.Task) object {
	return object{
		{"pulp_href", a.coreHref(taskKind, t.ID)},
		{"prn", models.CorePRN(taskKind, t.ID)},
		{"pulp_created", t.Created},
		{"pulp_last_updated", t.Updated},
		{"pulp_api_version", "v3"},
		{"name", t.Name},
		{"state", t.State},
		{"unblocked_at", t.UnblockedAt},
		{"started_at", t.StartedAt},
		{"finished_at", t.FinishedAt},
		{"worker", a.optionalHref(workerKind, workerOf(t))},
	}
}

// workerOf returns the worker of a task that has not ended.
func workerOf(t *models.Task) *uuid.UUID {
	if t.State.Final() {
		return nil
	}
	return t.WorkerID
}

func (a *API) optionalHref(kind string, id *uuid.UUID) any {
	if id == nil {
		return nil
	}
	return a.coreHref(kind, *id)
}

func (a *API) taskObject(t *models.Task, p *taskParts) object {
	hrefs := make([]any, 0, len(p.created[t.ID]))
	for _, prn := range p.created[t.ID] {
		hrefs = append(hrefs, p.hrefs[prn])
	}
	var user, result any
	if t.UserID != nil {
		user = fmt.Sprintf("%susers/%d/", a.base, *t.UserID)
	}
	if len(t.Result) > 0 {
		result = t.Result
	}
	return object{
		{"pulp_href", a.coreHref(taskKind, t.ID)},
		{"prn", models.CorePRN(taskKind, t.ID)},
		{"pulp_created", t.Created},
		{"pulp_last_updated", t.Updated},
		{"state", t.State},
		{"name", t.Name},
		{"logging_cid", t.LoggingCID},
		{"created_by", user},
		{"unblocked_at", t.UnblockedAt},
		{"started_at", t.StartedAt},
		{"finished_at", t.FinishedAt},
		{"error", taskError(t)},
		{"worker", a.optionalHref(workerKind, workerOf(t))},
		{"parent_task", a.optionalHref(taskKind, t.ParentTaskID)},
		{"child_tasks", orEmpty(p.children[t.ID])},
		{"task_group", a.optionalHref(taskGroupKind, t.TaskGroupID)},
		{"progress_reports", orEmpty(p.reports[t.ID])},
		{"created_resources", hrefs},
		{"created_resource_prns", orEmpty(p.created[t.ID])},
		{"reserved_resources_record", orEmpty(t.ReservedResources)},
		{"result", result},
		{"pulp_api_version", "v3"},
	}
}

func taskError(t *models.Task) any {
	if t.Error == nil {
		return nil
	}
	return t.Error
}

// orEmpty keeps a nil slice from becoming null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
