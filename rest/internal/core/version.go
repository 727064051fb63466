package core

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// RepositoryVersion is the answer about a version of a repository.
type RepositoryVersion struct {
	Row
	Number     int         `json:"number" doc:"The number of the version."`
	Repository wire.Href   `json:"repository" doc:"The repository."`
	Base       *wire.Href  `json:"base_version" doc:"The version that it was made from, if not the one before."`
	Summary    wire.Object `json:"content_summary" doc:"How many units were added, removed and are present, by type."`
}

// typeCount is how many units of a type a version has, added and removed.
type typeCount struct {
	Version uuid.UUID `bun:"version_id"`
	Type    string    `bun:"pulp_type"`
	Added   int64     `bun:"added"`
	Removed int64     `bun:"removed"`
	Present int64     `bun:"present"`
}

// RepositoryVersions renders versions with what they contain. Versions of repositories that are not served are left
// out.
func RepositoryVersions(
	ctx context.Context, db *models.DB, l *links.Links, rows []*models.RepositoryVersion,
) ([]RepositoryVersion, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	refs := l.NewRefs(db)
	ids := make([]uuid.UUID, len(rows))
	for i, rv := range rows {
		ids[i] = rv.ID
		refs.Want(links.Version, rv.ID)
		if rv.BaseVersionID != nil {
			refs.Want(links.Version, *rv.BaseVersionID)
		}
	}
	if err := refs.Load(ctx); err != nil {
		return nil, err
	}
	var counts []typeCount
	err := db.Bun().NewSelect().TableExpr("core_repositoryversioncount").
		Column("version_id", "pulp_type", "added", "removed", "present").
		Where("version_id IN (?)", bun.List(ids)).OrderExpr("pulp_type").Scan(ctx, &counts)
	if err != nil {
		return nil, fmt.Errorf("rest: counts of repository versions: %w", err)
	}
	byVersion := map[uuid.UUID][]typeCount{}
	for _, n := range counts {
		byVersion[n.Version] = append(byVersion[n.Version], n)
	}
	out := make([]RepositoryVersion, 0, len(rows))
	for _, rv := range rows {
		repository, served := refs.RepositoryOf(rv.ID)
		if served == nil {
			continue
		}
		href := l.VersionHref(served, rv.RepositoryID, rv.Number)
		v := RepositoryVersion{
			Row: rowOf(l, links.Version, rv.Base), Number: rv.Number, Repository: wire.Href(*repository),
			Summary: summary(l, href, byVersion[rv.ID]),
		}
		// rowOf has no path for versions: it lies below that of the repository.
		v.Href = wire.Href(href)
		if rv.BaseVersionID != nil {
			v.Base = (*wire.Href)(refs.Get(links.Version, *rv.BaseVersionID))
		}
		out = append(out, v)
	}
	return out, nil
}

// summary links the counts of a version to the lists of what they count.
func summary(l *links.Links, href string, counts []typeCount) wire.Object {
	type entry struct {
		Count int64  `json:"count"`
		Href  string `json:"href"`
	}
	part := func(param string, count func(typeCount) int64) map[string]entry {
		entries := map[string]entry{}
		for _, n := range counts {
			t := l.Type(models.ContentMaster, n.Type)
			if t != nil && count(n) > 0 {
				entries[n.Type] = entry{count(n), l.Base + t.Path + "?" + param + "=" + href}
			}
		}
		return entries
	}
	return wire.Object{
		{Name: "added", Value: part("repository_version_added", func(n typeCount) int64 { return n.Added })},
		{Name: "removed", Value: part("repository_version_removed", func(n typeCount) int64 { return n.Removed })},
		{Name: "present", Value: part("repository_version", func(n typeCount) int64 { return n.Present })},
	}
}

// VersionColumns returns what lists of versions can be ordered by.
func VersionColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "number"}
}

// VersionParams returns the filters of lists of versions, with the table's alias rv.
func VersionParams(refs query.References) []*query.Param {
	list := refs.Names("rv.pulp_id")
	list = append(list, query.NumberFilter().Params("number", "rv.number")...)
	list = append(list, query.TimeFilter().Params("pulp_created", "rv.pulp_created")...)
	for _, name := range []string{"content", "content__in"} {
		list = append(list, refs.Related(name, string(models.ContentMaster), HoldsSQL))
	}
	return list
}

// HoldsSQL narrows versions, with the alias rv, to versions that hold one of some units.
const HoldsSQL = `EXISTS (SELECT 1 FROM core_repositorycontent AS rc WHERE rc.content_id IN (?0)
	AND rc.repository_id = rv.repository_id AND rc.version_added <= rv.number
	AND (rc.version_removed IS NULL OR rc.version_removed > rv.number))`
