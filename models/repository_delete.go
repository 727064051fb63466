package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// deleteRepository removes a repository with its versions, publications and memberships. Its versions disappear at once
// and everything else in batches. If the process dies in between, the repository is left without a version and can be
// deleted again.
func (db *DB) deleteRepository(ctx context.Context, s *schema, id uuid.UUID) error {
	release, err := db.locks.claim(id)
	if err != nil {
		return err
	}
	defer release()
	if _, err := db.get(ctx, RepositoryMaster, s.name, id); err != nil { // before anything is gone
		return err
	}
	l, versions, err := db.hideRepository(ctx, s, id)
	if err == nil && len(versions) > 0 {
		err = db.removeRepository(ctx, l, s, versions)
	}
	if err != nil {
		return fmt.Errorf("models: delete repository %s: %w", id, err)
	}
	return nil
}

// hideRepository makes all versions of a repository and their publications incomplete, leases them and returns them. A
// repository without a version goes at once.
func (db *DB) hideRepository(ctx context.Context, s *schema, id uuid.UUID) (
	l lease, versions []*RepositoryVersion, err error,
) {
	err = db.withRepository(ctx, id, func(ctx context.Context, tx *Tx, _ lockedRepository) error {
		versions = nil
		err := tx.q.NewSelect().Model(&versions).Where("repository_id = ?", id).OrderExpr("number").Scan(ctx)
		if err != nil {
			return rowError(err, "versions of repository", id.String())
		}
		if len(versions) == 0 {
			return tx.deleteRow(ctx, s, id)
		}
		list := make([]uuid.UUID, len(versions))
		for i, v := range versions {
			list[i] = v.ID
		}
		if err := tx.hideVersions(ctx, list); err != nil {
			return err
		}
		l, err = tx.leaseVersions(ctx, id)
		return err
	})
	return l, versions, err
}

// removeRepository removes a repository with its hidden versions. The first one is held until the end: it goes together
// with the repository, so that no other process finds a repository that it could change.
func (db *DB) removeRepository(ctx context.Context, l lease, s *schema, versions []*RepositoryVersion) error {
	first := versions[0]
	for _, v := range versions[1:] {
		if err := db.removeVersionRow(ctx, l, v, nil); err != nil {
			return fmt.Errorf("models: version %d: %w", v.Number, err)
		}
	}
	err := db.leasedBatches(ctx, l, first.ID, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
		return affected(tx.q.NewRaw(`DELETE FROM core_repositorycontent WHERE repository_id = ?0 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0 LIMIT ?1)`,
			first.RepositoryID, undoBatch).Exec(ctx))
	})
	if err != nil {
		return err
	}
	return db.removeVersionRow(ctx, l, first, func(ctx context.Context, tx *Tx) error {
		return tx.deleteRow(ctx, s, first.RepositoryID)
	})
}

// hideVersions makes versions and their publications incomplete, and so invisible.
func (tx *Tx) hideVersions(ctx context.Context, ids []uuid.UUID) error {
	_, err := tx.q.NewUpdate().TableExpr("core_repositoryversion").Set("complete = FALSE").
		Where("pulp_id IN (?)", bun.List(ids)).Exec(ctx)
	if err != nil {
		return rowError(err, "repository version", ids[0].String())
	}
	_, err = tx.q.NewUpdate().TableExpr("core_publication").Set("complete = FALSE").
		Where("repository_version_id IN (?)", bun.List(ids)).Exec(ctx)
	return rowError(err, "publications of version", ids[0].String())
}
