package models

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ArtifactsOf returns the artifacts that units have, by unit and path within the unit, and marks them as wanted. Files
// whose bytes are only at a remote are missing.
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
	artifacts, err := db.artifacts(ctx, ids)
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

// artifacts returns artifacts of the handle's domain by id, and marks them as wanted.
func (db *DB) artifacts(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Artifact, error) {
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
