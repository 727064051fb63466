package models

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/storage"
)

// Artifact is a file in the store, identified by its sha256 within a domain.
type Artifact struct {
	bun.BaseModel `bun:"table:core_artifact,alias:a" json:"-"`

	Base
	DomainID            uuid.UUID `bun:"pulp_domain_id"`
	TimestampOfInterest time.Time `bun:"timestamp_of_interest"` // last time somebody wanted it kept
	Size                int64     `bun:"size"`                  // bytes, ≥ 0
	hashlib.Digests               // all allowed digests once it is saved
}

// Key returns where the bytes are in the store. It needs the sha256.
func (a *Artifact) Key() string { return storage.ArtifactKey(a.SHA256) }

// Expect returns what the artifact promises about its bytes. A size of 0 in an artifact that was only declared says
// nothing by itself: the digests decide.
func (a *Artifact) Expect() *hashlib.Expect {
	e := &hashlib.Expect{Digests: a.Digests}
	if a.Size > 0 || a.ID != uuid.Nil {
		e.Size = hashlib.Size(a.Size)
	}
	return e
}

// TemporaryFile is a file in the store that is not yet, or never becomes, an artifact: bytes brought from a request
// to the task that will use them, on whatever host it runs. Mirrors Pulp's PulpTemporaryFile.
type TemporaryFile struct {
	bun.BaseModel `bun:"table:core_temporaryfile,alias:tf" json:"-"`

	Base
	DomainID uuid.UUID `bun:"pulp_domain_id"`
	Size     int64     `bun:"size"` // bytes
	hashlib.Digests
}

// Key returns where the bytes are in the store.
func (t *TemporaryFile) Key() string { return storage.TempKey(t.ID) }
