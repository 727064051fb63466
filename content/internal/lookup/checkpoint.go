package lookup

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// Checkpoint is a publication that was kept as the state of a repository at a time.
type Checkpoint struct {
	Source
	Created time.Time `bun:"pulp_created"`
}

// CheckpointAt returns the newest checkpoint of a repository that was made before a time.
//
// Errors: NotFound.
func CheckpointAt(ctx context.Context, db *models.DB, repositoryID uuid.UUID, before time.Time) (*Checkpoint, error) {
	c := new(Checkpoint)
	err := checkpoints(db, repositoryID).ColumnExpr("p.pulp_id AS publication_id, p.pass_through, p.pulp_created").
		ColumnExpr("p.repository_version_id AS version_id, p.repository_id, p.version_number AS number").
		Where("p.pulp_created < ?", before).
		OrderExpr("p.pulp_created DESC, p.pulp_id DESC").Limit(1).Scan(ctx, c)
	if err != nil {
		return nil, rowError(err, "checkpoint of repository", repositoryID.String())
	}
	c.Created = c.Created.UTC()
	return c, nil
}

// CheckpointTimes returns when the checkpoints of a repository were made: at most limit times, in order, from a time
// on.
func CheckpointTimes(ctx context.Context, db *models.DB, repositoryID uuid.UUID, from time.Time, limit int,
) ([]time.Time, error) {
	var times []time.Time
	err := checkpoints(db, repositoryID).ColumnExpr("p.pulp_created").Where("p.pulp_created >= ?", from).
		OrderExpr("p.pulp_created").Limit(int64(limit)).Scan(ctx, &times)
	for i := range times {
		times[i] = times[i].UTC()
	}
	return times, rowError(err, "checkpoints of repository", repositoryID.String())
}

func checkpoints(db *models.DB, repositoryID uuid.UUID) *bun.SelectQuery {
	return db.Bun().NewSelect().TableExpr("core_publication AS p").Where("p.repository_id = ?", repositoryID).
		Where("p.complete").Where("p.checkpoint").Where("p.pulp_domain_id = ?", db.Domain().ID)
}
