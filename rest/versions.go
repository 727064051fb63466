package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// versionResource is the versions of all repositories.
type versionResource = Resource[models.RepositoryVersion, core.RepositoryVersion]

func versions(refs query.References) versionResource {
	return versionResource{
		Path: "repository_versions/", Class: "RepositoryVersion", Title: "Repository_Versions", Alias: "rv",
		Select: func(r *Request[models.RepositoryVersion], sel *bun.SelectQuery) *bun.SelectQuery {
			// A version that is not complete is still being made, or its task has failed.
			sel = sel.Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
				Where("r.pulp_domain_id = ?", r.DB.Domain().ID).Where("NOT r.user_hidden").Where("rv.complete")
			// Other programs may have plugins on this database whose repositories have no href here.
			types := r.links.TypeNames(models.RepositoryMaster)
			if len(types) == 0 {
				return sel.Where("1 = 0") // an empty list of types is no SQL
			}
			return sel.Where("r.pulp_type IN (?)", bun.List(types))
		},
		Render: func(
			ctx context.Context, r *Request[models.RepositoryVersion], rows []*models.RepositoryVersion,
		) ([]core.RepositoryVersion, error) {
			return core.RepositoryVersions(ctx, r.DB, r.links, rows)
		},
		// Versions of several repositories share a number. The key orders them, so that pages do not overlap.
		OrderBy: core.VersionColumns(), Order: []string{"-number", "pulp_id"},
		core: coreResource{params: core.VersionParams(refs)},
	}
}

// versionsOf is the versions of the repositories of a view.
type versionsOf struct {
	*view
	all versionResource
}

// mount adds the operations on versions.
func (v *versionsOf) mount(c *compiler) {
	add := func(o schema.Operation, h handler) {
		o.ID, o.Tag, o.Answer = v.op+"_versions"+o.ID, v.tag+" Versions", "RepositoryVersionResponse"
		o.Path = v.path + "{pulp_id}/versions/" + o.Path
		c.add(&operation{o, h})
	}
	add(schema.Operation{
		Method: http.MethodGet, ID: "_list", Entity: v.href, Summary: "List repository versions",
		Params: parameters(v.all.core.params), Columns: v.all.OrderBy, Paged: true,
	}, v.list)
	one := schema.Operation{Path: "{number}/", Entity: strings.TrimSuffix(v.href, "href") + "version_href"}
	read, remove := one, one
	read.Method, read.ID, read.Summary, read.Sparse = http.MethodGet, "_read", "Inspect a repository version", true
	add(read, v.read)
	remove.Method, remove.ID, remove.Summary = http.MethodDelete, "_delete", "Delete a repository version"
	remove.Status = []int{http.StatusAccepted}
	add(remove, v.remove)
}

func (v *versionsOf) list(ctx context.Context, q *request) (*reply, error) {
	repository, err := v.requested(ctx, q)
	if err != nil {
		return nil, err
	}
	q.visible = nil // it is a set of repositories, and an account that sees one sees its versions
	return v.all.list(ctx, q, models.Where("rv.repository_id = ?", repository.PulpID()))
}

func (v *versionsOf) read(ctx context.Context, q *request) (*reply, error) {
	rv, err := v.version(ctx, q)
	if err != nil {
		return nil, err
	}
	return v.all.answer(ctx, q, rv)
}

// version returns the version that the request's path names.
func (v *versionsOf) version(ctx context.Context, q *request) (*models.RepositoryVersion, error) {
	id, err := q.id(v.class)
	if err != nil {
		return nil, err
	}
	const class = "RepositoryVersion"
	number, ok := links.ParseNumber(chi.URLParam(q.r, "number"))
	if !ok {
		return nil, wire.NotFound(class)
	}
	if q.visible != nil {
		if _, err := v.requested(ctx, q); err != nil {
			return nil, err
		}
	}
	rv, err := links.FindVersion(ctx, q.db, links.OfVersion(v.typ, id, number))
	if err == nil && rv == nil {
		err = wire.NotFound(class)
	}
	return rv, err
}

// remove dispatches the task that deletes a version, unless it is distributed. Whether it is the only version is
// known only when the task runs, because tasks that wait may add versions and delete them.
func (v *versionsOf) remove(ctx context.Context, q *request) (*reply, error) {
	rv, err := v.version(ctx, q)
	if err != nil {
		return nil, err
	}
	// The task checks it again; this answer spares the client the wait for a task that fails.
	protected, err := models.ProtectedVersions(ctx, q.db, rv.RepositoryID)
	if err != nil {
		return nil, err
	}
	if slices.Contains(protected, rv.Number) {
		return nil, wire.ListError("The repository version cannot be deleted because it (or its publications) are " +
			"currently being used to distribute content. Please update the necessary distributions first.")
	}
	repository := models.TypedPRN(models.RepositoryMaster, v.typ.Name(), rv.RepositoryID)
	o := &tasking.DispatchOptions{Exclusive: tasking.Named(repository)}
	return q.accept(work.DeleteVersion.Dispatch(ctx, q.tasks(), work.VersionArgs{Version: rv.ID}, o))
}
