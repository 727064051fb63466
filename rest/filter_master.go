package rest

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// masterParams returns the filters that all types of a master have. The table's alias is m. Without a type they are for
// the list of all types.
func (a *API) masterParams(m models.Master, pulpType string) []*param {
	list := identityParams("m.pulp_id")
	list = append(list, a.hrefsParam("m.pulp_id"), a.prnsParam("m.pulp_id"))
	if pulpType == "" {
		list = append(list, Filter{form: textFilter, lookups: []string{"", "in"}}.params("pulp_type", "m.pulp_type")...)
	}
	if m != models.ContentMaster && m != models.PublicationMaster {
		list = append(list, Name.params("name", "m.name")...)
	}
	if hasLabels(m) {
		list = append(list, labelParam())
	}
	switch m {
	case models.RepositoryMaster:
		list = append(list, a.refParam("remote", string(models.RemoteMaster), "m.remote_id"),
			a.holderParam("with_content", string(models.ContentMaster), heldSQL+")"),
			a.holderParam("latest_with_content", string(models.ContentMaster), heldSQL+" AND rc.version_removed IS NULL)"))
		list = append(list, Number.params("retain_repo_versions", "m.retain_repo_versions")...)
		list = append(list, Number.params("retain_checkpoints", "m.retain_checkpoints")...)
	case models.RemoteMaster:
		list = append(list, Date.params("pulp_last_updated", "m.pulp_last_updated")...)
	case models.ContentMaster:
		list = append(list, a.versionParams()...)
	case models.PublicationMaster:
		list = append(list, Date.params("pulp_created", "m.pulp_created")...)
		list = append(list, Bool.params("checkpoint", "m.checkpoint")...)
		list = append(list, a.holderParam("repository_version", versionKind, "m.repository_version_id IN (?)"),
			a.holderParam("repository", string(models.RepositoryMaster), `m.repository_version_id IN (SELECT rv.pulp_id
				FROM core_repositoryversion AS rv WHERE rv.repository_id IN (?))`),
			a.holderParam("content", string(models.ContentMaster), publishedSQL),
			a.holderParam("content__in", string(models.ContentMaster), publishedSQL))
	case models.DistributionMaster:
		list = append(list, Filter{form: textFilter, lookups: []string{"", "in", "contains", "icontains"}}.
			params("base_path", "m.base_path")...)
		list = append(list, Bool.params("checkpoint", "m.checkpoint")...)
		list = append(list, a.refParam("repository", string(models.RepositoryMaster), "m.repository_id"),
			a.refsParam("repository__in", string(models.RepositoryMaster), "m.repository_id"))
	}
	return list
}

// heldSQL narrows repositories to those that hold, or ever held, a unit; a closing parenthesis follows.
const heldSQL = `m.pulp_id IN (SELECT rc.repository_id FROM core_repositorycontent AS rc WHERE rc.content_id IN (?)`

// publishedSQL narrows publications to those that serve one of some units: they published a file of it, or serve all
// files of their version.
const publishedSQL = `(m.pulp_id IN (SELECT pa.publication_id FROM core_publishedartifact AS pa
		JOIN core_contentartifact AS ca ON ca.pulp_id = pa.content_artifact_id WHERE ca.content_id IN (?0))
	OR m.pass_through AND m.repository_version_id IN (SELECT rv.pulp_id FROM core_repositoryversion AS rv
		WHERE ` + holdsSQL + `))`

func identityParams(column string) []*param {
	return []*param{{
		name: "pulp_id__in", doc: "Multiple values may be separated by commas.", form: textFilter, array: true,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			var ids []uuid.UUID
			for text := range strings.SplitSeq(raw, ",") {
				id, ok := parseID(text)
				if !ok {
					return nil, FieldErrors{"pulp_id__in": {"Enter a valid UUID."}}
				}
				ids = append(ids, id)
			}
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}}
}
