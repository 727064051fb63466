package models

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/storage"
)

// maxRemotes is how many remotes are tried for one file.
const maxRemotes = 16

// RemoteSource is a place from which the bytes of a content artifact can be fetched.
type RemoteSource struct {
	RemoteArtifact
	RemoteType string `bun:"remote_type"`
}

// Remote returns the remote, whose settings the download needs.
//
// Errors: NotFound, also if its plugin is not part of this App.
func (s *RemoteSource) Remote(ctx context.Context, db *DB) (AnyRemote, error) {
	row, err := db.get(ctx, RemoteMaster, s.RemoteType, s.RemoteID)
	if err != nil {
		return nil, err
	}
	return row.(AnyRemote), nil
}

// RemoteSources returns where the bytes of a content artifact can be fetched from, at most 16 places, oldest first.
// Those where a download failed at failedAfter or later are left out.
func RemoteSources(ctx context.Context, db *DB, contentArtifactID uuid.UUID, failedAfter time.Time,
) ([]*RemoteSource, error) {
	var rows []*RemoteSource
	err := db.q.NewSelect().Model(&rows).ModelTableExpr("core_remoteartifact AS ra").
		ColumnExpr("ra.*, m.pulp_type AS remote_type").Join("JOIN core_remote AS m ON m.pulp_id = ra.remote_id").
		Where("ra.content_artifact_id = ?", contentArtifactID).Where("ra.pulp_domain_id = ?", db.domain.ID).
		Where("(ra.failed_at IS NULL OR ra.failed_at < ?)", failedAfter).
		OrderExpr("ra.pulp_id").Limit(maxRemotes).Scan(ctx)
	return rows, rowError(err, "remote artifacts of", contentArtifactID.String())
}

// MarkFailed notes that a download from here brought wrong bytes.
func (s *RemoteSource) MarkFailed(ctx context.Context, db *DB) error {
	now := Now()
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewUpdate().Model((*RemoteArtifact)(nil)).Set("failed_at = ?", now).
			Set("pulp_last_updated = ?", now).Where("ra.pulp_id = ?", s.ID).
			Where("ra.pulp_domain_id = ?", db.domain.ID).Exec(ctx)
		return rowError(err, "remote artifact", s.ID.String())
	})
}

// AttachArtifact saves an artifact whose bytes are in the store and gives it to a content artifact that has none. If
// the artifact exists it is used; a content artifact that has one in the meantime keeps that, and one that is gone stays
// gone.
//
// Errors: those of [SaveArtifacts].
func AttachArtifact(ctx context.Context, db *DB, store *storage.Store, contentArtifactID uuid.UUID, a *Artifact) error {
	return db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := SaveArtifacts(ctx, tx.DB, store, []*Artifact{a}); err != nil {
			return err
		}
		_, err := tx.q.NewUpdate().Model((*ContentArtifact)(nil)).Set("artifact_id = ?", a.ID).
			Set("pulp_last_updated = ?", Now()).Where("ca.pulp_id = ?", contentArtifactID).
			Where("ca.artifact_id IS NULL").Exec(ctx)
		return rowError(err, "content artifact", contentArtifactID.String())
	})
}
