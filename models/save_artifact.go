package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// SaveArtifacts inserts artifacts whose bytes are in the store. An artifact that has a row already gets the key of that
// row, whose timestamp of interest is renewed. Afterwards every artifact of the slice has its key; the order stays.
//
// Errors: Unsupported (PLP0020) if an artifact has a digest that is not allowed, Invalid (PLP0019) if it lacks one
// that is, Invalid if a digest is not lowercase hex of the right length; [BytesGoneError] if bytes were removed from
// the store since they were stored, then the whole batch is not saved.
func SaveArtifacts(ctx context.Context, db *DB, store *storage.Store, artifacts []*Artifact) error {
	now := Now()
	for _, a := range artifacts {
		if err := checkDigests(db.checksums, a.Digests); err != nil {
			return err
		}
		a.DomainID = db.domain.ID
		if a.TimestampOfInterest.IsZero() {
			a.TimestampOfInterest = now
		}
	}
	u := &upsert[Artifact]{
		// conflict stays nil: Postgres may report any of the unique digests, and all of them follow from the bytes.
		what: "artifact",
		key:  func(a *Artifact) string { return a.SHA256 },
		base: func(a *Artifact) *Base { return &a.Base },
		where: func(q *bun.SelectQuery, rows []*Artifact) *bun.SelectQuery {
			return q.Where("pulp_domain_id = ?", db.domain.ID).Where("sha256 IN (?)", bun.List(sha256s(rows)))
		},
		adopt: func(mine, existing *Artifact) { *mine = *existing },
	}
	return eachBatch(ctx, db, len(artifacts), func(ctx context.Context, tx *Tx, from, to int) error {
		if err := u.run(ctx, tx.DB, artifacts[from:to]); err != nil {
			return err
		}
		// Deletions compare the timestamp, so from here on they spare the artifacts.
		kept, err := touchArtifacts(ctx, tx.DB, artifacts[from:to], now)
		if err != nil {
			return err
		}
		if len(kept) < to-from { // a cleanup deleted one between the insert and the update of its timestamp
			return errVanished
		}
		return doomedNotes{tx.DB}.revive(ctx, store, artifacts[from:to])
	})
}

// FindArtifacts returns the artifacts of the handle's domain that have any of the digests, by digest, and updates their
// timestamps of interest. Digests that no artifact has are missing from the map. Use a reliable algorithm: sha256,
// sha384 or sha512.
func FindArtifacts(ctx context.Context, db *DB, alg hashlib.Algorithm, digests []string) (map[string]*Artifact, error) {
	found := make(map[string]*Artifact, len(digests))
	for chunk := range slices.Chunk(digests, batchSize) {
		var rows []*Artifact
		err := db.q.NewSelect().Model(&rows).Where("pulp_domain_id = ?", db.domain.ID).
			Where("? IN (?)", bun.Ident(alg), bun.List(chunk)).Scan(ctx)
		if err != nil {
			return nil, rowError(err, "artifact", "by "+string(alg))
		}
		// An artifact that was deleted since it was read is left out, because its bytes may be gone.
		rows, err = touchArtifacts(ctx, db, rows, Now())
		if err != nil {
			return nil, err
		}
		for _, a := range rows {
			found[a.Get(alg)] = a
		}
	}
	return found, nil
}

// interestInterval is how old a timestamp of interest must be before it is updated, so that content which many syncs
// find is not written all the time.
const interestInterval = 10 * time.Minute

// touchArtifacts updates timestamps of interest and returns the rows that still exist.
func touchArtifacts(ctx context.Context, db *DB, rows []*Artifact, now time.Time) ([]*Artifact, error) {
	var stale []*Artifact
	for _, a := range rows {
		if now.Sub(a.TimestampOfInterest) > interestInterval {
			stale = append(stale, a)
		}
	}
	if stale == nil {
		return rows, nil
	}
	touched := map[uuid.UUID]bool{}
	err := db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		var ids []uuid.UUID
		_, err := tx.q.NewUpdate().Model((*Artifact)(nil)).Set("timestamp_of_interest = ?", now).
			Where("pulp_domain_id = ?", db.domain.ID).Where("sha256 IN (?)", bun.List(sha256s(stale))).
			Returning("pulp_id").Exec(ctx, &ids)
		for _, id := range ids {
			touched[id] = true
		}
		return rowError(err, "artifact", "touch")
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(rows), func(a *Artifact) bool {
		return now.Sub(a.TimestampOfInterest) > interestInterval && !touched[a.ID]
	}), nil
}

func sha256s(rows []*Artifact) []string {
	out := make([]string, len(rows))
	for i, a := range rows {
		out[i] = a.SHA256
	}
	slices.Sort(out)
	return out
}

// checkDigests makes sure that exactly the allowed digests are there, each as lowercase hex.
func checkDigests(c *hashlib.Checksums, d hashlib.Digests) error {
	for _, a := range hashlib.Known() {
		switch has := d.Get(a) != ""; {
		case has && !c.Allowed(a):
			return fmt.Errorf("models: artifact %s: %w", d.SHA256, &hashlib.UnsupportedError{Algorithm: a})
		case !has && c.Allowed(a):
			return pulperr.Coded("PLP0019", pulperr.Invalid, "the artifact lacks its %s digest", a)
		case has && (len(d.Get(a)) != a.HexLen() || strings.Trim(d.Get(a), "0123456789abcdef") != ""):
			return pulperr.Field(string(a), "The digest %q is not %d lowercase hex characters.", d.Get(a), a.HexLen())
		}
	}
	return nil
}

// AttachArtifact saves an artifact whose bytes are in the store and gives it to a content artifact that has none. If
// the artifact exists it is used. A content artifact that has got another one in the meantime keeps that, and a
// content artifact that was deleted is no error.
//
// Errors: those of [SaveArtifacts].
func AttachArtifact(ctx context.Context, db *DB, store *storage.Store, contentArtifactID uuid.UUID, a *Artifact) error {
	return db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := SaveArtifacts(ctx, tx.DB, store, []*Artifact{a}); err != nil {
			return err
		}
		_, err := tx.q.NewUpdate().Model((*ContentArtifact)(nil)).Set("artifact_id = ?", a.ID).
			Set("pulp_last_updated = ?", Now()).Where("ca.pulp_id = ?", contentArtifactID).
			Where("ca.artifact_id IS NULL").Exec(ctx)
		return rowError(err, "content artifact", contentArtifactID.String())
	})
}

// ArtifactsOf returns the artifacts that units have, by unit and path within the unit, and updates their timestamps of
// interest. Files whose bytes are only at a remote are missing.
func ArtifactsOf(ctx context.Context, db *DB, contentIDs []uuid.UUID) (map[uuid.UUID]map[string]*Artifact, error) {
	files, err := ContentArtifacts(ctx, db, contentIDs)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	for _, list := range files {
		for _, ca := range list {
			if ca.ArtifactID != nil {
				ids = append(ids, *ca.ArtifactID)
			}
		}
	}
	artifacts, err := artifactsByID(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[uuid.UUID]map[string]*Artifact, len(files))
	for unit, list := range files {
		out[unit] = make(map[string]*Artifact, len(list))
		for _, ca := range list {
			if ca.ArtifactID == nil {
				continue
			}
			if a := artifacts[*ca.ArtifactID]; a != nil {
				out[unit][ca.RelativePath] = a
			}
		}
	}
	return out, nil
}

// artifactsByID returns artifacts of the handle's domain by id, and updates their timestamps of interest.
func artifactsByID(ctx context.Context, db *DB, ids []uuid.UUID) (map[uuid.UUID]*Artifact, error) {
	found := make(map[uuid.UUID]*Artifact, len(ids))
	for chunk := range slices.Chunk(ids, batchSize) {
		var rows []*Artifact
		err := db.q.NewSelect().Model(&rows).Where("pulp_domain_id = ?", db.domain.ID).
			Where("pulp_id IN (?)", bun.List(chunk)).Scan(ctx)
		if err != nil {
			return nil, rowError(err, "artifact", "by id")
		}
		if rows, err = touchArtifacts(ctx, db, rows, Now()); err != nil {
			return nil, err
		}
		for _, a := range rows {
			found[a.ID] = a
		}
	}
	return found, nil
}
