package models

import (
	"context"
	"slices"

	"github.com/google/uuid"
)

// ProtectedVersions returns the numbers, ascending, of the versions that clients can see: those that a distribution
// names, directly or by a publication; those of checkpoints, if a checkpoint distribution serves the repository; and if
// another distribution does, the one with the newest publication, or the latest if nothing is published.
func ProtectedVersions(ctx context.Context, db *DB, repositoryID uuid.UUID) ([]int, error) {
	var numbers []int
	err := db.q.NewRaw(`SELECT rv.number FROM core_repositoryversion AS rv
		WHERE rv.repository_id = ?0 AND rv.complete AND (
		EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_version_id = rv.pulp_id)
		OR EXISTS (SELECT 1 FROM core_publication AS p JOIN core_distribution AS d ON d.publication_id = p.pulp_id
			WHERE p.repository_version_id = rv.pulp_id)
		OR (EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_id = ?0 AND d.checkpoint)
			AND EXISTS (SELECT 1 FROM core_publication AS p WHERE p.repository_version_id = rv.pulp_id
				AND p.complete AND p.checkpoint))
		OR (EXISTS (SELECT 1 FROM core_distribution AS d WHERE d.repository_id = ?0 AND NOT d.checkpoint)
			AND rv.number = COALESCE(
				(SELECT MAX(v.number) FROM core_repositoryversion AS v
					JOIN core_publication AS p ON p.repository_version_id = v.pulp_id
					WHERE v.repository_id = ?0 AND v.complete AND p.complete AND NOT p.checkpoint),
				(SELECT MAX(v.number) FROM core_repositoryversion AS v WHERE v.repository_id = ?0 AND v.complete))))
		ORDER BY rv.number`, repositoryID).Scan(ctx, &numbers)
	return numbers, rowError(err, "versions of repository", repositoryID.String())
}

// Retain deletes the versions that a repository's retain_repo_versions does not keep. [CreateVersion] does it after
// every new version; call it when the setting changes. Versions that clients can see stay and are not counted.
//
// Errors: Locked if the repository is being changed; NotFound.
func Retain(ctx context.Context, db *DB, repositoryID uuid.UUID) error {
	release, err := db.building.claim(repositoryID)
	if err != nil {
		return err
	}
	defer release()
	if err := db.repairVersions(ctx, repositoryID); err != nil {
		return err
	}
	return db.retain(ctx, repositoryID)
}

func (db *DB) retain(ctx context.Context, repositoryID uuid.UUID) error {
	var keep *int
	err := db.q.NewSelect().TableExpr("core_repository").Column("retain_repo_versions").
		Where("pulp_id = ?", repositoryID).Where("pulp_domain_id = ?", db.domain.ID).Scan(ctx, &keep)
	if err != nil || keep == nil {
		return rowError(err, "repository", repositoryID.String())
	}
	protected, err := ProtectedVersions(ctx, db, repositoryID)
	if err != nil {
		return err
	}
	versions, err := Versions(ctx, db, repositoryID, 0, 0)
	if err != nil {
		return err
	}
	versions = slices.DeleteFunc(versions, func(v *RepositoryVersion) bool {
		return slices.Contains(protected, v.Number)
	})
	for _, v := range slices.Backward(versions[min(*keep, len(versions)):]) {
		if err := db.deleteVersion(ctx, v.ID); err != nil {
			return err
		}
	}
	return nil
}
