package models

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// Artifact is a file in the store, identified by its sha256 within a domain.
type Artifact struct {
	bun.BaseModel `bun:"table:core_artifact,alias:a" json:"-"`

	Base
	DomainID            uuid.UUID `bun:"pulp_domain_id"`
	TimestampOfInterest time.Time `bun:"timestamp_of_interest"` // last time it was saved or found
	Size                int64     `bun:"size"`                  // bytes, ≥ 0
	hashlib.Digests               // all allowed digests once it is saved
}

// Key returns where the bytes are in the store. It needs the sha256.
func (a *Artifact) Key() string { return storage.ArtifactKey(a.SHA256) }

// Expect returns the digests and the size that the bytes must have. The size is left out if it is 0 and the artifact
// was not saved: it was only declared, and its size may be unknown.
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

// Delete removes an artifact whose TimestampOfInterest lies before a time and, once that is committed, its bytes. Other
// writers may store and save the same bytes meanwhile: no artifact is left without bytes. With a time less than ten
// minutes ago, running syncs that found the artifact may fail, because they update the timestamp at that interval.
//
// Errors: Conflict if content uses the artifact or its timestamp is not before the time; NotFound.
func (a *Artifact) Delete(ctx context.Context, db *DB, store *storage.Store, before time.Time) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error { return a.deleteIn(ctx, tx, store, before) })
}

// deleteIn removes an artifact's row and, once that is committed, its bytes.
func (a *Artifact) deleteIn(ctx context.Context, tx *Tx, store *storage.Store, before time.Time) error {
	var gone []string
	// The conditions are in the statement: a sync could find the artifact between a SELECT and the deletion.
	_, err := tx.q.NewDelete().Model((*Artifact)(nil)).Where("pulp_id = ?", a.ID).
		Where("pulp_domain_id = ?", tx.domain.ID).Where("timestamp_of_interest < ?", before).
		Returning("sha256").Exec(ctx, &gone)
	if err != nil {
		return rowError(err, "artifact", a.ID.String())
	}
	if len(gone) == 0 {
		return a.notDeleted(ctx, tx, before)
	}
	// The note is written in the same transaction: if the process dies after the commit, the next sweep finds the bytes by
	// it.
	if err := (doomedNotes{tx.DB}).add(ctx, gone); err != nil {
		return err
	}
	r := newByteRemover(tx.DB, store)
	tx.AfterCommit(func() {
		// The row is gone. The end of the request must not leave the bytes to the sweep.
		if _, err := r.removeDoomed(context.WithoutCancel(ctx), gone); err != nil {
			r.db.Log().WarnContext(ctx, "the bytes of a deleted artifact are removed later",
				slog.String("sha256", gone[0]), slog.Any("err", err))
		}
	})
	return nil
}

// notDeleted returns why no row was deleted.
func (a *Artifact) notDeleted(ctx context.Context, tx *Tx, before time.Time) error {
	n, err := tx.q.NewSelect().Model((*Artifact)(nil)).Where("pulp_id = ?", a.ID).
		Where("pulp_domain_id = ?", tx.domain.ID).Count(ctx)
	switch {
	case err != nil:
		return rowError(err, "artifact", a.ID.String())
	case n == 0:
		return fmt.Errorf("models: artifact %s: %w", a.ID, pulperr.NotFound)
	}
	return fmt.Errorf("models: artifact %s was in use after %s: %w", a.ID, before.Format(time.RFC3339), pulperr.Conflict)
}
