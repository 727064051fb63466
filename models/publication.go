package models

import (
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Publication is the master of publications: a repository version together with the metadata and paths under which
// clients see it.
type Publication struct {
	MasterModel
	Complete            bool      `bun:"complete" json:"-"`              // false while it is built or deleted
	PassThrough         bool      `bun:"pass_through" json:"-"`          // serve all files of the version as well
	Checkpoint          bool      `bun:"checkpoint" json:"checkpoint"`   // kept as the state of a time
	RepositoryVersionID uuid.UUID `bun:"repository_version_id" json:"-"` // the version that it publishes
}

// PublishedArtifact is a file of a publication: a content artifact under a path of the publication's choice.
type PublishedArtifact struct {
	bun.BaseModel `bun:"table:core_publishedartifact,alias:pa" json:"-"`

	Base
	PublicationID     uuid.UUID `bun:"publication_id"`
	ContentArtifactID uuid.UUID `bun:"content_artifact_id"`
	RelativePath      string    `bun:"relative_path"`
}

// PublishedMetadata is a file made for a publication, such as an index. It is content that belongs to no repository
// and disappears with its publication.
type PublishedMetadata struct {
	Content
	PublicationID uuid.UUID `bun:"publication_id" json:"publication" pulp:"natural"`
	RelativePath  string    `bun:"relative_path" json:"relative_path" pulp:"natural"`
}

// Distribution is the master of distributions: the base path under which the content app serves a publication, a
// repository version, or whatever is newest in a repository. At most one of the three is set. Types with [PullsFrom]
// also serve what the remote has.
type Distribution struct {
	MasterModel
	Name                string     `bun:"name" json:"name"`           // unique within the domain
	BasePath            string     `bun:"base_path" json:"base_path"` // canonical, no slash at either end
	Labels              Labels     `bun:"pulp_labels,type:jsonb" json:"pulp_labels"`
	Hidden              bool       `bun:"hidden" json:"hidden"`                  // served but not listed
	Checkpoint          bool       `bun:"checkpoint" json:"checkpoint"`          // kept as the state of a time
	ContentGuardID      *uuid.UUID `bun:"content_guard_id" json:"content_guard"` // nil: no check before a download
	PublicationID       *uuid.UUID `bun:"publication_id" json:"publication"`
	RemoteID            *uuid.UUID `bun:"remote_id" json:"-"` // in the API of types with [PullsFrom]
	RepositoryID        *uuid.UUID `bun:"repository_id" json:"repository"`
	RepositoryVersionID *uuid.UUID `bun:"repository_version_id" json:"repository_version"`
}

// ContentGuard is the master of content guards, which decide who may download from a distribution. A guard's type
// also implements the content app's Guard interface.
type ContentGuard struct {
	MasterModel
	Name        string  `bun:"name" json:"name"` // unique within the domain
	Description *string `bun:"description" json:"description"`
}
