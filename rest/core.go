package rest

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// addAnswers adds the schemas of answers that are part of others, or of several operations.
func addAnswers(c *schema.Components) {
	c.AddAnswer("AsyncOperationResponse", reflect.TypeFor[Accepted](), true)
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

// addCore adds the operations that belong to no plugin.
func (c *compiler) addCore() {
	refs := c.refs()
	artifacts(refs).mount(c)
	c.components.Require("Artifact", "file")
	c.add(&operation{schema.Operation{
		Method: http.MethodDelete, Path: "artifacts/{pulp_id}/", Entity: "artifact_href", ID: "artifacts_delete",
		Tag: "Artifacts", Summary: "Artifacts cannot be deleted", Status: []int{http.StatusForbidden},
	}, func(context.Context, *request) (*reply, error) {
		// Content may need the artifact. Pulp's access policy forbids the deletion to every account, too.
		return nil, wire.Refuse(http.StatusForbidden, wire.MsgForbidden)
	}})
	c.addMasterLists()
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
	c.addEvents()
	taskGroups().mount(c)
	Resource[models.TaskSchedule, core.TaskSchedule]{
		Path: "task-schedules/", Class: "TaskSchedule", Title: "Task-Schedules", Alias: "ts",
		Render: func(
			_ context.Context, r *Request[models.TaskSchedule], rows []*models.TaskSchedule,
		) ([]core.TaskSchedule, error) {
			out := make([]core.TaskSchedule, len(rows))
			for i, row := range rows {
				out[i] = core.ScheduleOf(r.request.links, row)
			}
			return out, nil
		},
		OrderBy: core.ScheduleColumns(), core: coreResource{params: core.ScheduleParams(refs)},
	}.mount(c)
	Resource[models.Worker, core.Worker]{
		Path: "workers/", Class: "Worker", Alias: "w",
		Select: func(_ *Request[models.Worker], sel *bun.SelectQuery) *bun.SelectQuery { return sel }, // of all domains
		Render: func(ctx context.Context, r *Request[models.Worker], rows []*models.Worker) ([]core.Worker, error) {
			return core.Workers(ctx, r.DB, r.request.links, rows)
		},
		OrderBy: core.WorkerColumns(),
		core: coreResource{
			params: core.WorkerParams(refs), missing: "AppStatus",
			// Tasks that ran within a request refer to API processes, so these can be read as well.
			listed: []models.Cond{models.Where("w.kind = ?", tasking.KindWorker)},
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
				out[i] = core.ArtifactOf(r.DB, r.request.links, row)
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

// status tells how the installation is. It answers also while the database does not.
func status(ctx context.Context, q *request) (*reply, error) {
	var s core.Status
	processes, err := q.queue.Workers(ctx)
	if err != nil {
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
