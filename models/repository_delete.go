package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// repositoryRemover deletes a repository with its versions, publications and memberships. The versions disappear at
// once and everything else in batches. If the process dies in between, the repository is left without a version and can
// be deleted again.
type repositoryRemover struct {
	table
	id uuid.UUID
}

func (r repositoryRemover) remove(ctx context.Context) error {
	release, err := r.db.locks.claim(r.id)
	if err != nil {
		return err
	}
	defer release()
	// Unlike get, hide does not compare the type. A repository of another type would lose its versions, and only then
	// would deleteRow return NotFound.
	if _, err := r.get(ctx, r.id); err != nil {
		return err
	}
	l, versions, err := r.hide(ctx)
	if err == nil && len(versions) > 0 {
		err = r.removeVersions(ctx, l, versions)
	}
	if err != nil {
		return fmt.Errorf("models: delete repository %s: %w", r.id, err)
	}
	return nil
}

// hide makes all versions and their publications incomplete, leases them and returns them. A repository without a
// version is deleted at once.
func (r repositoryRemover) hide(ctx context.Context) (l lease, versions []*RepositoryVersion, err error) {
	err = changeRepository(ctx, r.db, r.id, func(ctx context.Context, locked lockedVersions, _ lockedRepository) error {
		// The closure runs again after a deadlock. The list must not keep rows of the run before.
		versions = nil
		err := locked.tx.Bun().NewSelect().Model(&versions).Where("repository_id = ?", r.id).OrderExpr("number").Scan(ctx)
		if err != nil {
			return rowError(err, "versions of repository", r.id.String())
		}
		if len(versions) == 0 {
			return r.in(locked.tx).deleteRow(ctx, r.id)
		}
		if err := locked.hide(ctx, versions...); err != nil {
			return err
		}
		l, err = locked.take(ctx)
		return err
	})
	return l, versions, err
}

// removeVersions removes the hidden versions and the repository.
func (r repositoryRemover) removeVersions(ctx context.Context, l lease, versions []*RepositoryVersion) error {
	for _, v := range versions[1:] {
		if err := (leasedVersion{r.db, l, v}).removeRow(ctx, nil); err != nil {
			return fmt.Errorf("models: version %d: %w", v.Number, err)
		}
	}
	// The first version goes in the transaction that deletes the repository. Until then its lease keeps other processes
	// from changing the repository.
	first := leasedVersion{r.db, l, versions[0]}
	err := first.batches(ctx, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
		return affected(tx.q.NewRaw(`DELETE FROM core_repositorycontent WHERE repository_id = ?0 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0 LIMIT ?1)`,
			r.id, undoBatch).Exec(ctx))
	})
	if err != nil {
		return err
	}
	return first.removeRow(ctx, func(ctx context.Context, tx *Tx) error { return r.in(tx).deleteRow(ctx, r.id) })
}
