package lookup

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// maxRemotes is how many places [RemoteSources] returns at most.
const maxRemotes = 16

// RemoteSource is a place from which the bytes of a content artifact can be downloaded.
type RemoteSource struct {
	models.RemoteArtifact
	RemoteType string `bun:"remote_type"`
}

// Remote returns the remote, whose settings the download needs.
//
// Errors: NotFound, also if its plugin is not part of this App.
func (s *RemoteSource) Remote(ctx context.Context, db *models.DB) (models.AnyRemote, error) {
	row, err := models.Load(ctx, db, models.RemoteMaster, s.RemoteType, s.RemoteID)
	if err != nil {
		return nil, err
	}
	return row.(models.AnyRemote), nil
}

// RemoteSources returns the places from which the bytes of a content artifact can be downloaded: at most 16, oldest
// first. It leaves out those where a download failed at failedAfter or later.
func RemoteSources(ctx context.Context, db *models.DB, contentArtifactID uuid.UUID, failedAfter time.Time,
) ([]*RemoteSource, error) {
	var rows []*RemoteSource
	err := db.Bun().NewSelect().Model(&rows).ModelTableExpr("core_remoteartifact AS ra").
		ColumnExpr("ra.*, m.pulp_type AS remote_type").Join("JOIN core_remote AS m ON m.pulp_id = ra.remote_id").
		Where("ra.content_artifact_id = ?", contentArtifactID).Where("ra.pulp_domain_id = ?", db.Domain().ID).
		Where("(ra.failed_at IS NULL OR ra.failed_at < ?)", failedAfter).
		OrderExpr("ra.pulp_id").Limit(maxRemotes).Scan(ctx)
	return rows, rowError(err, "remote artifacts of", contentArtifactID.String())
}

// MarkFailed records that a download from this place returned wrong bytes.
func (s *RemoteSource) MarkFailed(ctx context.Context, db *models.DB) error {
	now := models.Now()
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewUpdate().Model((*models.RemoteArtifact)(nil)).Set("failed_at = ?", now).
			Set("pulp_last_updated = ?", now).Where("ra.pulp_id = ?", s.ID).
			Where("ra.pulp_domain_id = ?", db.Domain().ID).Exec(ctx)
		return rowError(err, "remote artifact", s.ID.String())
	})
}

// IsFrom reports whether files of a unit can be fetched from a remote, which an earlier sync or fetch has shown.
func IsFrom(ctx context.Context, db *models.DB, unit, remote uuid.UUID) (bool, error) {
	is, err := db.Bun().NewSelect().TableExpr("core_contentartifact AS ca").
		Join("JOIN core_remoteartifact AS ra ON ra.content_artifact_id = ca.pulp_id").
		Where("ca.content_id = ?", unit).Where("ra.remote_id = ?", remote).
		Where("ra.pulp_domain_id = ?", db.Domain().ID).Exists(ctx)
	return is, rowError(err, "remote artifacts of", unit.String())
}
