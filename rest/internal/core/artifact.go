package core

import (
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
)

// Artifact is the answer about an artifact.
type Artifact struct {
	Row
	File string `json:"file" doc:"The key in the storage."`
	Size int64  `json:"size" doc:"Size in bytes."`
	Digests
}

// ArtifactOf renders an artifact. Only digests of algorithms that are allowed are shown.
func ArtifactOf(db *models.DB, l *links.Links, a *models.Artifact) Artifact {
	return Artifact{rowOf(l, links.Artifact, a.Base), a.Key(), a.Size, DigestsOf(db.Checksums().Filter(a.Digests))}
}

// ArtifactParams returns the filters of lists of artifacts, with the table's alias a.
func ArtifactParams(refs query.References) []*query.Param {
	list := append(refs.Identity("a.pulp_id"),
		query.OrphanParam("a", "SELECT 1 FROM core_contentartifact AS x WHERE x.artifact_id = a.pulp_id"))
	for _, alg := range Algorithms() {
		list = append(list, query.TextFilter().Params(string(alg), "a."+string(alg))...)
	}
	return append(list, refs.Version("repository_version", func(v *models.RepositoryVersion) models.Cond {
		return models.Where(`a.pulp_id IN (SELECT ca.artifact_id FROM core_contentartifact AS ca
			JOIN core_repositorycontent AS rc ON rc.content_id = ca.content_id
			WHERE rc.repository_id = ?0 AND rc.version_added <= ?1
			AND (rc.version_removed IS NULL OR rc.version_removed > ?1))`, v.RepositoryID, v.Number)
	}))
}
