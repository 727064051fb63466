package models

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
)

// Content is the master of content units: the smallest things a repository holds. A plugin embeds it and adds the
// fields that identify its unit:
//
//	type Content struct {
//		models.Content
//		RelativePath string `json:"relative_path" pulp:"natural,repo"`
//		Digest       string `json:"digest" pulp:"natural,len=64"`
//	}
//
// Units are immutable and shared: one natural key exists once per domain, however many repositories hold it.
type Content struct {
	MasterModel
	Labels              Labels     `bun:"pulp_labels,type:jsonb" json:"pulp_labels"`
	UpstreamID          *uuid.UUID `bun:"upstream_id" json:"-"`           // key of the unit it was imported from
	TimestampOfInterest time.Time  `bun:"timestamp_of_interest" json:"-"` // last time it was saved or found
}

// ContentArtifact is a file of a unit: an artifact at a path. A unit may have several.
type ContentArtifact struct {
	bun.BaseModel `bun:"table:core_contentartifact,alias:ca" json:"-"`

	Base
	ContentID    uuid.UUID  `bun:"content_id"`
	ArtifactID   *uuid.UUID `bun:"artifact_id"`   // nil while the bytes are still at the remote
	RelativePath string     `bun:"relative_path"` // canonical, see ValidPath
}

// RemoteArtifact is a URL from which the bytes of a ContentArtifact can be downloaded.
type RemoteArtifact struct {
	bun.BaseModel `bun:"table:core_remoteartifact,alias:ra" json:"-"`

	Base
	DomainID          uuid.UUID `bun:"pulp_domain_id"`
	ContentArtifactID uuid.UUID `bun:"content_artifact_id"`
	RemoteID          uuid.UUID `bun:"remote_id"`
	URL               string    `bun:"url"`
	Size              *int64    `bun:"size"` // bytes; nil if unknown
	hashlib.Digests
	FailedAt *time.Time `bun:"failed_at"` // last time a download did not match the digests
}

// Expect returns what the remote promised about the bytes.
func (ra *RemoteArtifact) Expect() *hashlib.Expect {
	return &hashlib.Expect{Digests: ra.Digests, Size: ra.Size}
}
