package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

const versionModel = "RepositoryVersion"

// versionParams are the filters of lists of versions; the alias is rv.
func (a *API) versionListParams() []*param {
	list := []*param{a.hrefsParam("rv.pulp_id"), a.prnsParam("rv.pulp_id")}
	list = append(list, Number.params("number", "rv.number")...)
	list = append(list, Date.params("pulp_created", "rv.pulp_created")...)
	for _, name := range []string{"content", "content__in"} {
		list = append(list, a.holderParam(name, string(models.ContentMaster), holdsSQL))
	}
	return list
}

// holdsSQL narrows versions, with the alias rv, to those that hold one of some units.
const holdsSQL = `EXISTS (SELECT 1 FROM core_repositorycontent AS rc WHERE rc.content_id IN (?0)
	AND rc.repository_id = rv.repository_id AND rc.version_added <= rv.number
	AND (rc.version_removed IS NULL OR rc.version_removed > rv.number))`

func versionColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "number"}
}

// handleVersions lists the versions of one repository.
func (v *view) handleVersions(params []*param) handler {
	return func(ctx context.Context, c *call) error {
		repo, err := c.get(ctx, v)
		if err != nil {
			return err
		}
		return c.listVersions(ctx, params, cond{"rv.repository_id = ?", []any{repo.PulpID()}})
	}
}

func (c *call) listVersions(ctx context.Context, params []*param, where ...cond) error {
	q, err := c.readList(ctx, params, versionColumns())
	if err != nil {
		return err
	}
	q.where = append(q.where, where...)
	var rows []*models.RepositoryVersion
	narrow := func(sel *bun.SelectQuery) *bun.SelectQuery {
		return q.apply(sel.Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
			Where("r.pulp_domain_id = ?", c.db.Domain().ID).Where("NOT r.user_hidden").Where("rv.complete"))
	}
	count, err := narrow(c.db.Bun().NewSelect().Model((*models.RepositoryVersion)(nil))).Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count repository versions: %w", err)
	}
	err = q.window(narrow(c.db.Bun().NewSelect().Model(&rows)), "rv", "-number", "pulp_id").Scan(ctx)
	if err != nil {
		return fmt.Errorf("rest: list repository versions: %w", err)
	}
	results, err := c.api.newRenderer(c.db).versionRows(ctx, rows)
	if err != nil {
		return err
	}
	return c.answerPage(q, count, results)
}

// version returns the version that the request's path names.
func (c *call) version(ctx context.Context, v *view) (*models.RepositoryVersion, error) {
	id, err := c.id(v.class)
	if err != nil {
		return nil, err
	}
	number, ok := parseNumber(chi.URLParam(c.r, "number"))
	if !ok {
		return nil, notFound(versionModel)
	}
	rv, err := c.api.findVersion(ctx, c.db, target{kind: versionKind, view: v, id: id, number: number})
	if err == nil && rv == nil {
		err = notFound(versionModel)
	}
	return rv, err
}

func (v *view) handleVersion(ctx context.Context, c *call) error {
	rv, err := c.version(ctx, v)
	if err != nil {
		return err
	}
	list, err := c.api.newRenderer(c.db).versionRows(ctx, []*models.RepositoryVersion{rv})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return notFound(versionModel)
	}
	return c.answerObject(http.StatusOK, list[0])
}

// versionArgs are the arguments of the task that deletes a version.
type versionArgs struct {
	Version uuid.UUID `json:"version"`
}

func (v *view) handleDeleteVersion(ctx context.Context, c *call) error {
	rv, err := c.version(ctx, v)
	if err != nil {
		return err
	}
	if err := c.checkDeletable(ctx, rv); err != nil {
		return err
	}
	prn := models.PRN{ID: rv.RepositoryID, Model: models.PRNModel(v.typ)}
	prn.Plugin, _, _ = cutType(v.typ.Name())
	o := &tasking.Options{Exclusive: tasking.Named(prn.String())}
	ticket, err := deleteVersion.Dispatch(ctx, c.queue(), versionArgs{rv.ID}, o)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}

// checkDeletable refuses to delete a version that is distributed. Whether it is the only one shows when the task runs:
// tasks that wait may add versions and delete them.
func (c *call) checkDeletable(ctx context.Context, rv *models.RepositoryVersion) error {
	protected, err := models.ProtectedVersions(ctx, c.db, rv.RepositoryID)
	if err != nil {
		return err
	}
	for _, number := range protected {
		if number == rv.Number {
			return listError("The repository version cannot be deleted because it (or its publications) are currently " +
				"being used to distribute content. Please update the necessary distributions first.")
		}
	}
	return nil
}

func runDeleteVersion(ctx context.Context, env *tasking.Env, a versionArgs) error {
	v, err := models.VersionByID(ctx, env.DB, a.Version)
	if err != nil {
		return err
	}
	return models.DeleteVersion(ctx, env.DB, v)
}

// typeCount is how many units of a type a version has, added and removed.
type typeCount struct {
	Version uuid.UUID `bun:"version_id"`
	Type    string    `bun:"pulp_type"`
	Added   int64     `bun:"added"`
	Removed int64     `bun:"removed"`
	Present int64     `bun:"present"`
}

// versionRows renders versions with what they contain, in three statements.
func (r *renderer) versionRows(ctx context.Context, rows []*models.RepositoryVersion) ([]object, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, rv := range rows {
		ids[i] = rv.ID
		r.want(versionKind, rv.ID)
		if rv.BaseVersionID != nil {
			r.want(versionKind, *rv.BaseVersionID)
		}
	}
	if err := r.loadRefs(ctx); err != nil {
		return nil, err
	}
	var counts []typeCount
	err := r.db.Bun().NewSelect().TableExpr("core_repositoryversioncount").
		Column("version_id", "pulp_type", "added", "removed", "present").
		Where("version_id IN (?)", bun.List(ids)).OrderExpr("pulp_type").Scan(ctx, &counts)
	if err != nil {
		return nil, fmt.Errorf("rest: counts of repository versions: %w", err)
	}
	byVersion := map[uuid.UUID][]typeCount{}
	for _, n := range counts {
		byVersion[n.Version] = append(byVersion[n.Version], n)
	}
	out := make([]object, 0, len(rows))
	for _, rv := range rows {
		v := r.api.byType[models.RepositoryMaster][r.versions[rv.ID].Type]
		if v == nil {
			continue
		}
		href := r.api.versionHref(v, rv.RepositoryID, rv.Number)
		o := object{
			{"pulp_href", href},
			{"prn", models.CorePRN(versionKind, rv.ID)},
			{"pulp_created", rv.Created},
			{"pulp_last_updated", rv.Updated},
			{"number", rv.Number},
			{"repository", r.api.href(v, rv.RepositoryID)},
			{"base_version", nil},
			{"content_summary", r.summary(href, byVersion[rv.ID])},
		}
		if rv.BaseVersionID != nil {
			o[6].value = r.ref(versionKind, *rv.BaseVersionID)
		}
		out = append(out, o)
	}
	return out, nil
}

// summary links the counts of a version to the lists of what they count.
func (r *renderer) summary(href string, counts []typeCount) object {
	type entry struct {
		Count int64  `json:"count"`
		Href  string `json:"href"`
	}
	part := func(query string, count func(typeCount) int64) map[string]entry {
		entries := map[string]entry{}
		for _, n := range counts {
			v := r.api.byType[models.ContentMaster][n.Type]
			if v != nil && count(n) > 0 {
				entries[n.Type] = entry{count(n), r.api.base + v.path + "?" + query + "=" + href}
			}
		}
		return entries
	}
	return object{
		{"added", part("repository_version_added", func(n typeCount) int64 { return n.Added })},
		{"removed", part("repository_version_removed", func(n typeCount) int64 { return n.Removed })},
		{"present", part("repository_version", func(n typeCount) int64 { return n.Present })},
	}
}
