package core

import (
	"context"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// TaskColumns returns what lists of tasks can be ordered by.
func TaskColumns() []string {
	return []string{
		"pulp_id", "pulp_created", "pulp_last_updated", "state", "name", "logging_cid", "unblocked_at", "started_at",
		"finished_at",
	}
}

// TaskParams returns the filters of lists of tasks, with the table's alias t.
func TaskParams(refs query.References) []*query.Param {
	list := refs.Identity("t.pulp_id")
	state := query.TextFilter("in", "ne")
	state.Choices = []string{
		string(models.Canceled), string(models.Canceling), string(models.Completed), string(models.Failed),
		string(models.Running), string(models.Skipped), string(models.Waiting),
	}
	list = append(list, state.Params("state", "t.state")...)
	list = append(list, query.TextFilter("in", "ne", "contains").Params("name", "t.name")...)
	list = append(list, query.TextFilter("contains").Params("logging_cid", "t.logging_cid")...)
	for _, name := range []string{"pulp_created", "unblocked_at", "started_at", "finished_at"} {
		list = append(list, query.TimeFilter().Params(name, "t."+name)...)
	}
	children := refs.Related("child_tasks", links.Task,
		"t.pulp_id IN (SELECT x.parent_task_id FROM core_task AS x WHERE x.pulp_id IN (?))")
	children.Doc = "href or PRN of a task"
	list = append(list, refs.Ref("parent_task", links.Task, "t.parent_task_id"),
		refs.Ref("task_group", links.TaskGroup, "t.task_group_id"), refs.Ref("worker", links.Worker, "t.worker_id"),
		children, createdParam(refs))
	for _, name := range []string{"reserved_resources", "exclusive_resources", "shared_resources"} {
		list = append(list, reservedParam(refs, name, name), reservedParam(refs, name+"__in", name))
	}
	return list
}

func createdParam(refs query.References) *query.Param {
	return &query.Param{
		Name: "created_resources", Doc: "href or PRN", Form: query.Text, Needed: true,
		Where: func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			t, ok := refs.Parse(raw)
			if !ok {
				return nil, query.BadURI(raw)
			}
			// Tasks store what they created as PRNs.
			prn, err := refs.PRN(ctx, db, t)
			return []models.Cond{
				models.Where("t.pulp_id IN (SELECT cr.task_id FROM core_createdresource AS cr WHERE cr.prn = ?)", prn),
			}, err
		},
	}
}

// reservedParam narrows a list to tasks that reserved a resource, or with __in all of several. A text that is no link
// is the name of a resource that is no row.
func reservedParam(refs query.References, name, how string) *query.Param {
	array := name != how
	p := &query.Param{Name: name, Doc: "href or PRN", Form: query.Text, Array: array, Needed: !array}
	p.Where = func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
		texts := []string{raw}
		if array {
			texts = strings.Split(raw, ",")
		}
		var list []models.Cond
		for _, resource := range texts {
			if t, ok := refs.Parse(resource); ok {
				var err error
				// Tasks store what they reserve as PRNs, whatever form the client used.
				if resource, err = refs.PRN(ctx, db, t); err != nil {
					return nil, err
				}
			}
			// No name begins with the mark of shared reservations, so no task can have reserved it.
			if models.HasNUL(resource) || strings.HasPrefix(resource, "shared:") {
				return []models.Cond{models.Where("FALSE")}, nil
			}
			names := map[string][]string{
				"shared_resources": {"shared:" + resource}, "exclusive_resources": {resource},
				"reserved_resources": {resource, "shared:" + resource},
			}[how]
			expr, args := inspect.Reserves(db, names...)
			list = append(list, models.Where(expr, args...))
		}
		return list, nil
	}
	return p
}
