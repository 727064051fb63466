package models

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// protectedSQL is the condition that clients can see the complete version rv. It reads the rows that refer to that
// version, so that its cost does not grow with the repository.
const protectedSQL = `(EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_version_id = rv.pulp_id)
  OR EXISTS (SELECT 1 FROM core_publication AS p JOIN core_distribution AS d ON d.publication_id = p.pulp_id
    WHERE p.repository_version_id = rv.pulp_id)
  OR (EXISTS (SELECT 1 FROM core_publication AS p WHERE p.repository_version_id = rv.pulp_id AND p.complete
      AND p.checkpoint)
    AND EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_id = rv.repository_id AND d.checkpoint))
  OR CASE
    WHEN NOT EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_id = rv.repository_id AND NOT d.checkpoint)
      THEN FALSE
    WHEN EXISTS (SELECT 1 FROM core_publication AS p WHERE p.repository_version_id = rv.pulp_id AND p.complete
      AND NOT p.checkpoint)
      THEN NOT EXISTS (SELECT 1 FROM core_publication AS p WHERE p.repository_id = rv.repository_id
        AND p.version_number > rv.number AND p.complete AND NOT p.checkpoint)
    WHEN EXISTS (SELECT 1 FROM core_repositoryversion AS v WHERE v.repository_id = rv.repository_id
      AND v.number > rv.number AND v.complete)
      THEN FALSE
    ELSE NOT EXISTS (SELECT 1 FROM core_publication AS p WHERE p.repository_id = rv.repository_id
      AND p.complete AND NOT p.checkpoint)
  END)`

// ProtectedVersions returns the numbers, ascending, of the versions that clients can see: those that a distribution
// names, directly or by a publication; those of checkpoints, if a checkpoint distribution serves the repository; and if
// another distribution does, the one with the newest publication, or the latest without any publication.
func ProtectedVersions(ctx context.Context, db *DB, repositoryID uuid.UUID) ([]int, error) {
	var numbers []int
	err := db.q.NewSelect().TableExpr("core_repositoryversion AS rv").Column("rv.number").
		Where("rv.repository_id = ?", repositoryID).Where("rv.complete").Where(protectedSQL).
		OrderExpr("rv.number").Scan(ctx, &numbers)
	return numbers, rowError(err, "versions of repository", repositoryID.String())
}

// Retain applies a repository's retain_repo_versions and retain_checkpoints: it deletes older versions than are to be
// kept, and takes the mark off older checkpoints, whose publications stay. Versions that clients can see stay and are
// not counted. [CreateVersion] does it after every change of the repository, also one that made no version; call it
// when a setting changes. What it takes grows with the versions that go, so it is work for a task.
//
// Errors: Locked if the repository is being changed; NotFound.
func Retain(ctx context.Context, db *DB, repositoryID uuid.UUID) error {
	release, err := db.locks.claim(repositoryID)
	if err != nil {
		return err
	}
	defer release()
	return retention{db, repositoryID}.apply(ctx)
}

// retention deletes what a repository is not to keep.
type retention struct {
	db           *DB
	repositoryID uuid.UUID
}

func (r retention) apply(ctx context.Context) error {
	// Checkpoints come first, because they protect their versions.
	if err := r.checkpoints(ctx); err != nil {
		return err
	}
	var keep *int
	err := r.db.Bun().NewSelect().TableExpr("core_repository").Column("retain_repo_versions").
		Where("pulp_id = ?", r.repositoryID).Where("pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &keep)
	if err != nil || keep == nil {
		return rowError(err, "repository", r.repositoryID.String())
	}
	return r.versions(ctx, *keep)
}

// versions deletes all but the newest versions, not counting protected ones.
func (r retention) versions(ctx context.Context, keep int) error {
	var beyond []*RepositoryVersion
	err := completeVersions(r.db, &beyond).Column("rv.pulp_id", "rv.repository_id", "rv.number").
		Where("rv.repository_id = ?", r.repositoryID).Where("NOT " + protectedSQL).OrderExpr("rv.number DESC").
		Limit(noLimit).Offset(int64(keep)).Scan(ctx)
	if err != nil {
		return rowError(err, "versions of repository", r.repositoryID.String())
	}
	for _, v := range slices.Backward(beyond) {
		// Invalid: a distribution has begun to serve the version since it was listed. NotFound: another process has
		// deleted it since.
		err := versionDeleter{r.db, v}.delete(ctx)
		if err != nil && !errors.Is(err, pulperr.Invalid) && !errors.Is(err, pulperr.NotFound) {
			return err
		}
	}
	return nil
}

// checkpoints takes the mark off all but the newest complete checkpoints of a repository.
func (r retention) checkpoints(ctx context.Context) error {
	var keep *int
	err := r.db.Bun().NewSelect().TableExpr("core_repository").Column("retain_checkpoints").
		Where("pulp_id = ?", r.repositoryID).Where("pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &keep)
	if err != nil || keep == nil {
		return rowError(err, "repository", r.repositoryID.String())
	}
	return r.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		// With these conditions and this order the database can read the index core_publication_checkpoint.
		_, err := tx.q.NewRaw(`UPDATE core_publication SET checkpoint = FALSE, pulp_last_updated = ?0 WHERE pulp_id IN (
			SELECT p.pulp_id FROM core_publication AS p WHERE p.repository_id = ?1 AND p.complete AND p.checkpoint
			ORDER BY p.pulp_created DESC, p.pulp_id DESC LIMIT ?2 OFFSET ?3)`,
			Now(), r.repositoryID, noLimit, *keep).Exec(ctx)
		return rowError(err, "checkpoints of repository", r.repositoryID.String())
	})
}
