package rest

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

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

// cancelOperation describes PATCH on what can be canceled. It answers with 409 if there was nothing to cancel.
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
					return nil, r.Queue.Delete(ctx, r.Row.ID)
				}),
		},
		core: coreResource{
			params: core.TaskParams(refs), answer: reflect.TypeFor[core.Task](), extra: []*query.Param{minimal},
		},
	}
}

func renderTasks(ctx context.Context, r *Request[models.Task], rows []*models.Task) ([]any, error) {
	out := make([]any, len(rows))
	if minimal, reasons := wire.Bool(r.HTTP.URL.Query().Get("minimal")); reasons == nil && minimal {
		for i, t := range rows {
			out[i] = core.MinimalTaskOf(r.request.links, t)
		}
		return out, nil
	}
	list, err := core.Tasks(ctx, r.Queue, r.request.links, rows)
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
	if ended {
		r.request.status = http.StatusConflict
	}
	list, err := core.Tasks(ctx, r.Queue, r.request.links, []*models.Task{t})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func taskGroups() Resource[models.TaskGroup, core.TaskGroup] {
	return Resource[models.TaskGroup, core.TaskGroup]{
		Path: "task-groups/", Class: "TaskGroup", Title: "Task-Groups", Alias: "tg",
		Render: func(ctx context.Context, r *Request[models.TaskGroup], rows []*models.TaskGroup) ([]core.TaskGroup, error) {
			return core.TaskGroups(ctx, r.Queue, r.request.links, rows)
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
	if err := g.Cancel(ctx); err != nil {
		return nil, err
	}
	row, err := g.Row(ctx)
	if err != nil {
		return nil, err
	}
	list, err := core.TaskGroups(ctx, r.Queue, r.request.links, []*models.TaskGroup{row})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}
