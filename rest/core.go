package rest

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver"
)

// addAnswers adds the schemas of answers that are part of others, or of several operations.
func addAnswers(c *schema.Components) {
	c.AddAnswer("AsyncOperationResponse", reflect.TypeFor[Accepted](), true)
	c.AddAnswer("TaskGroupOperationResponse", reflect.TypeFor[AcceptedGroup](), true)
	c.AddAnswer("RepositoryVersionResponse", reflect.TypeFor[core.RepositoryVersion](), true)
	c.AddAnswer("MinimalTaskResponse", reflect.TypeFor[core.MinimalTask](), true)
	c.AddAnswer("ProgressReportResponse", reflect.TypeFor[core.ProgressReport](), true)
	c.AddAnswer("GroupProgressReportResponse", reflect.TypeFor[core.GroupProgressReport](), true)
	c.AddAnswer("VersionResponse", reflect.TypeFor[core.Version](), true)
	c.AddAnswer("AppStatusResponse", reflect.TypeFor[core.AppStatus](), true)
	c.AddAnswer("DatabaseConnectionResponse", reflect.TypeFor[core.DatabaseConnection](), true)
	c.AddAnswer("RedisConnectionResponse", reflect.TypeFor[core.RedisConnection](), true)
	c.AddAnswer("StorageResponse", reflect.TypeFor[core.Storage](), true)
	c.AddAnswer("ContentSettingsResponse", reflect.TypeFor[core.ContentSettings](), true)
	c.AddAnswer("StatusResponse", reflect.TypeFor[core.Status](), true)
}

// mountCore adds the operations that belong to no plugin.
func mountCore(c *compiler) {
	refs := c.refs()
	artifacts(refs).mount(c)
	// The file is no field of the input, so its requirement cannot be a tag.
	c.components.Require("Artifact", "file")
	c.add(&operation{schema.Operation{
		Method: http.MethodDelete, Path: "artifacts/{pulp_id}/", Entity: "artifact_href", ID: "artifacts_delete",
		Tag: "Artifacts", Summary: "Artifacts cannot be deleted", Status: []int{http.StatusForbidden},
	}, func(context.Context, *request) (*reply, error) {
		// Content may need the artifact. Pulp's access policy forbids the deletion to every account, too.
		return nil, wire.Refuse(http.StatusForbidden, wire.MsgForbidden)
	}})
	for _, k := range c.links.Masters() {
		newMasterList(c, c.masters[k.Master]).mount(c)
	}
	all := versions(refs)
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: all.Path, ID: "repository_versions_list", Tag: all.Title,
		Summary: "List repository versions", Params: parameters(all.core.params), Columns: all.OrderBy, Paged: true,
		Answer: all.Class + "Response",
	}, func(ctx context.Context, q *request) (*reply, error) { return all.list(ctx, q) }})
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: "status/", ID: "status_read", Tag: "Status", Summary: "Inspect status of Pulp",
		Answer: "StatusResponse", Anonymous: true,
	}, status})
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: "livez/", ID: "livez_read", Tag: "Livez", Summary: "Inspect liveness of the API",
		Anonymous: true,
	}, func(context.Context, *request) (*reply, error) { return &reply{}, nil }})
	tasks(refs).mount(c)
	newEventStreams(c.opts).mount(c)
	taskGroups().mount(c)
	Resource[models.TaskSchedule, core.TaskSchedule]{
		Path: "task-schedules/", Class: "TaskSchedule", Title: "Task-Schedules", Alias: "ts",
		Render: func(
			_ context.Context, r *Request[models.TaskSchedule], rows []*models.TaskSchedule,
		) ([]core.TaskSchedule, error) {
			out := make([]core.TaskSchedule, len(rows))
			for i, row := range rows {
				out[i] = core.ScheduleOf(r.links, row)
			}
			return out, nil
		},
		OrderBy: core.ScheduleColumns(), core: coreResource{params: core.ScheduleParams(refs)},
	}.mount(c)
	Resource[models.Worker, core.Worker]{
		Path: "workers/", Class: "Worker", Alias: "w",
		Select: func(_ *Request[models.Worker], sel *bun.SelectQuery) *bun.SelectQuery { return sel }, // of all domains
		Render: func(ctx context.Context, r *Request[models.Worker], rows []*models.Worker) ([]core.Worker, error) {
			return core.Workers(ctx, r.DB, r.links, rows)
		},
		OrderBy: core.WorkerColumns(),
		core: coreResource{
			params: core.WorkerParams(refs), missing: "AppStatus",
			// Tasks that ran within a request refer to API processes, so these can be read as well.
			listed: []models.Cond{models.Where("w.kind = ?", worker.KindWorker)},
		},
	}.mount(c)
}

// artifacts are the files in the store.
func artifacts(refs query.References) Resource[models.Artifact, core.Artifact] {
	return Resource[models.Artifact, core.Artifact]{
		Path: "artifacts/", Class: "Artifact", Alias: "a",
		Render: func(_ context.Context, r *Request[models.Artifact], rows []*models.Artifact) ([]core.Artifact, error) {
			out := make([]core.Artifact, len(rows))
			for i, row := range rows {
				out[i] = core.ArtifactOf(r.DB, r.links, row)
			}
			return out, nil
		},
		OrderBy: []string{
			"pulp_id", "pulp_created", "pulp_last_updated", "size", "md5", "sha1", "sha224", "sha256", "sha384", "sha512",
		},
		Actions: []Action[models.Artifact]{Do(Operation{
			Collection: true, File: true, Summary: "Create an artifact", Status: []int{http.StatusCreated},
			id: "create", body: "Artifact",
		}, createArtifact)},
		core: coreResource{params: core.ArtifactParams(refs)},
	}
}

// status answers with the state of the installation, also while the database does not answer.
func status(ctx context.Context, q *request) (*reply, error) {
	var s core.Status
	processes, err := inspect.Workers(ctx, q.queue.DB())
	if err != nil {
		// The answer reports this fault in database_connection. With an error instead, a monitor would lose the other
		// members as well.
		q.log.WarnContext(ctx, "the database does not answer", "err", err)
	}
	s.Processes(processes, err)
	s.Components(q.opts.Versions)
	s.Usage(ctx, q.store)
	s.Redis.Connected = q.opts.CacheConnected != nil && q.opts.CacheConnected(ctx)
	s.Content.Prefix = q.opts.ContentPathPrefix
	if q.opts.ContentOrigin != "" {
		s.Content.Origin = &q.opts.ContentOrigin
	}
	return &reply{body: s}, nil
}

// root returns the operation that answers with the hrefs of all lists.
func root(lists []string) *operation {
	return &operation{schema.Operation{Anonymous: true}, func(_ context.Context, q *request) (*reply, error) {
		o := wire.Object{}
		for _, path := range lists {
			o.Set(strings.TrimSuffix(path, "/"), webserver.SchemeOf(q.r)+"://"+q.r.Host+q.links.Base+path)
		}
		return &reply{body: o}, nil
	}}
}

// cancelInput is the body of a cancellation.
type cancelInput struct {
	State string `json:"state" doc:"canceled"`
}

func (in *cancelInput) check() error {
	switch in.State {
	case string(models.Canceled):
		return nil
	case "":
		return FieldErrors{"state": {wire.MsgRequired}}
	}
	return FieldErrors{"state": {"The only acceptable value for 'state' is 'canceled'."}}
}

// cancelOperation describes the PATCH that cancels a task or a group. It answers with 409 if no task was unfinished.
func cancelOperation(summary string) Operation {
	return Operation{
		Method: http.MethodPatch, Summary: summary, Status: []int{http.StatusOK, http.StatusConflict},
		id: "cancel", body: "PatchedTaskCancel",
	}
}

func tasks(refs query.References) Resource[models.Task, any] {
	minimal := &query.Param{Name: "minimal", Doc: "Leave out what costs more to look up.", Form: query.Bool}
	return Resource[models.Task, any]{
		Path: "tasks/", Class: "Task", Alias: "t",
		Render:  renderTasks,
		OrderBy: core.TaskColumns(), Order: []string{"-pulp_created", "-pulp_id"},
		Actions: []Action[models.Task]{
			Do(Operation{
				Name: "purge", Collection: true, Summary: "Purge completed tasks", body: "Purge",
			}, purge),
			Do(cancelOperation("Cancel a task"), cancelTask),
			Do(Operation{Method: http.MethodDelete, Summary: "Delete a task"},
				func(ctx context.Context, r *Request[models.Task], _ *Empty) (*Empty, error) {
					return nil, inspect.Delete(ctx, r.Queue.DB(), r.Row.ID)
				}),
		},
		core: coreResource{
			params: core.TaskParams(refs), answer: reflect.TypeFor[core.Task](), extra: []*query.Param{minimal},
		},
	}
}

func renderTasks(ctx context.Context, r *Request[models.Task], rows []*models.Task) ([]any, error) {
	out := make([]any, len(rows))
	// Pollers ask for minimal tasks, which need no further statement.
	if minimal, reasons := wire.Bool(r.HTTP.URL.Query().Get("minimal")); reasons == nil && minimal {
		for i, t := range rows {
			out[i] = core.MinimalTaskOf(r.links, t)
		}
		return out, nil
	}
	list, err := core.Tasks(ctx, r.Queue, r.links, rows)
	if err != nil {
		return nil, err
	}
	for i := range list {
		out[i] = list[i]
	}
	return out, nil
}

func cancelTask(ctx context.Context, r *Request[models.Task], in *cancelInput) (*core.Task, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t := r.Row
	ended := t.State.Final()
	if !ended {
		canceled, err := r.Queue.Cancel(ctx, t.ID)
		switch {
		case errors.Is(err, pulperr.Conflict): // the task ended after it was read
			ended = true
			canceled, err = r.Queue.Get(ctx, t.ID)
		}
		if err != nil {
			return nil, err
		}
		t = canceled
	}
	// The body is the task in both cases; the status alone shows that this request did not cancel it.
	if ended {
		r.request.status = http.StatusConflict
	}
	list, err := core.Tasks(ctx, r.Queue, r.links, []*models.Task{t})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func taskGroups() Resource[models.TaskGroup, core.TaskGroup] {
	return Resource[models.TaskGroup, core.TaskGroup]{
		Path: "task-groups/", Class: "TaskGroup", Title: "Task-Groups", Alias: "tg",
		Render: func(ctx context.Context, r *Request[models.TaskGroup], rows []*models.TaskGroup) ([]core.TaskGroup, error) {
			return core.TaskGroups(ctx, r.Queue, r.links, rows)
		},
		Actions: []Action[models.TaskGroup]{Do(cancelOperation("Cancel a task group"), cancelGroup)},
	}
}

func cancelGroup(ctx context.Context, r *Request[models.TaskGroup], in *cancelInput) (*core.TaskGroup, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	g, err := r.Queue.Group(ctx, r.Row.ID)
	if err != nil {
		return nil, err
	}
	counts, err := g.Counts(ctx)
	if err != nil {
		return nil, err
	}
	if counts[models.Waiting]+counts[models.Running]+counts[models.Canceling] == 0 {
		r.request.status = http.StatusConflict
	}
	// A group without unfinished tasks is canceled, too: it gets no more tasks then.
	if err := g.Cancel(ctx); err != nil {
		return nil, err
	}
	row, err := g.Row(ctx)
	if err != nil {
		return nil, err
	}
	list, err := core.TaskGroups(ctx, r.Queue, r.links, []*models.TaskGroup{row})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// purgeInput is the body of a purge.
type purgeInput struct {
	Before time.Time `json:"finished_before" doc:"Purge tasks that ended before this time. Default: 30 days ago."`
	//nolint:lll // a tag is one literal
	States []string `json:"states" rest:"default=[\"completed\"],choices=skipped|completed|failed|canceled" doc:"Purge tasks in these states."`
}

// purge dispatches the task that removes tasks.
func purge(ctx context.Context, r *Request[models.Task], in *purgeInput) (*Accepted, error) {
	args := work.PurgeArgs{Before: in.Before, States: []models.TaskState{}}
	if in.Before.IsZero() {
		args.Before = models.Now().Add(-work.PurgeAge)
	}
	for _, s := range in.States {
		args.States = append(args.States, models.TaskState(s))
	}
	return r.request.ticket(work.PurgeTasks.Dispatch(ctx, r.Queue, args, nil))
}
