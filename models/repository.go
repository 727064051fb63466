package models

import (
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Repository is the master of repositories: a name with a history of versions, each a set of content units.
type Repository struct {
	MasterModel
	Name               string     `bun:"name" json:"name"`
	Description        *string    `bun:"description" json:"description"`
	Labels             Labels     `bun:"pulp_labels,type:jsonb" json:"pulp_labels"`
	NextVersion        int        `bun:"next_version" json:"-"`                            // number of the version to come
	RetainRepoVersions *int       `bun:"retain_repo_versions" json:"retain_repo_versions"` // nil keeps all, else ≥ 1
	RetainCheckpoints  *int       `bun:"retain_checkpoints" json:"retain_checkpoints"`     // nil keeps all, else ≥ 1
	UserHidden         bool       `bun:"user_hidden" json:"-"`
	RemoteID           *uuid.UUID `bun:"remote_id" json:"remote"` // the remote to sync from unless another is named
}

// RepositoryVersion is one numbered state of a repository. Only complete versions are visible outside the closure
// that builds them.
type RepositoryVersion struct {
	bun.BaseModel `bun:"table:core_repositoryversion,alias:rv" json:"-"`

	Base
	RepositoryID  uuid.UUID      `bun:"repository_id"`
	Number        int            `bun:"number"`
	Complete      bool           `bun:"complete"`
	BaseVersionID *uuid.UUID     `bun:"base_version_id"`
	Info          map[string]any `bun:"info,type:jsonb"`
}

// RepositoryContent is a unit's membership in the versions Added ≤ n < Removed of a repository.
type RepositoryContent struct {
	bun.BaseModel `bun:"table:core_repositorycontent,alias:rc" json:"-"`

	RepositoryID uuid.UUID `bun:"repository_id,pk"`
	ContentID    uuid.UUID `bun:"content_id,pk"`
	Added        int       `bun:"version_added,pk"`
	Removed      *int      `bun:"version_removed"` // nil: still a member
}
