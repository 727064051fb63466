package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// lease names the one process that may work on the incomplete versions of a repository. Every transaction that
// changes memberships holds the version's row under its lease; who takes over puts a new lease into the row, and so
// waits for the transaction of the old holder and fails its next one. A holder that died needs no cleaning up.
type lease struct {
	id uuid.UUID
}

// hold makes sure that the lease still stands, until the transaction ends.
func (l lease) hold(ctx context.Context, tx *Tx, versionID uuid.UUID) error {
	res, err := tx.q.NewUpdate().TableExpr("core_repositoryversion").Set("pulp_last_updated = ?", Now()).
		Where("pulp_id = ?", versionID).Where("lease = ?", l.id).Where("NOT complete").Exec(ctx)
	if err != nil {
		return rowError(err, "repository version", versionID.String())
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errTakenOver
	}
	return nil
}

// lockedRepository is what a transaction that holds a repository's row has read of it.
type lockedRepository struct {
	Next   int  `bun:"next_version"`
	Hidden bool `bun:"user_hidden"`
}

// lockRepository holds the repository's row until the transaction ends.
func (tx *Tx) lockRepository(ctx context.Context, id uuid.UUID) (lockedRepository, error) {
	var row lockedRepository
	// An update that changes nothing is the lock that both databases have.
	err := tx.q.NewRaw(`UPDATE core_repository SET next_version = next_version WHERE pulp_id = ? AND pulp_domain_id = ?
		RETURNING next_version, user_hidden`, id, tx.domain.ID).Scan(ctx, &row)
	return row, rowError(err, "repository", id.String())
}

// withRepository runs fn in a transaction that holds the repository's row and finds no incomplete version. Versions
// that dead processes left are ended before, in transactions of their own. Every change of a repository starts here:
// what fn makes incomplete and leases cannot be another process's, and no other process can have come in between.
//
// Errors: Locked if a running task works on the repository, or another process began to while it was repaired.
func (db *DB) withRepository(ctx context.Context, id uuid.UUID,
	fn func(ctx context.Context, tx *Tx, r lockedRepository) error,
) error {
	for repaired := false; ; repaired = true {
		var l lease
		var left []*RepositoryVersion
		err := db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
			r, err := tx.lockRepository(ctx, id)
			if err != nil {
				return err
			}
			left = nil
			err = tx.q.NewSelect().Model(&left).Where("repository_id = ?", id).Where("NOT complete").
				OrderExpr("number").Scan(ctx)
			switch {
			case err != nil:
				return rowError(err, "versions of repository", id.String())
			case len(left) == 0:
				return fn(ctx, tx, r)
			case repaired:
				return errBeingChanged
			}
			if err := tx.checkNotLeased(ctx, left); err != nil {
				return err
			}
			l, err = tx.leaseVersions(ctx, id)
			return err
		})
		if err != nil || len(left) == 0 {
			return err
		}
		for _, v := range left {
			if err := db.endIncomplete(ctx, l, v); err != nil {
				return fmt.Errorf("models: repair version %d of repository %s: %w", v.Number, id, err)
			}
		}
	}
}

// leaseVersions takes over all incomplete versions of a locked repository.
func (tx *Tx) leaseVersions(ctx context.Context, repositoryID uuid.UUID) (lease, error) {
	return tx.take(ctx, "repository_id = ?", repositoryID)
}

// take puts a new lease into the incomplete versions for which a condition holds.
func (tx *Tx) take(ctx context.Context, cond string, id uuid.UUID) (lease, error) {
	l := lease{id: NewID()}
	var task *uuid.UUID
	if tx.task != nil {
		task = &tx.task.TaskID
	}
	_, err := tx.q.NewUpdate().TableExpr("core_repositoryversion").Set("lease = ?", l.id).
		Set("lease_task_id = ?", task).Where(cond, id).Where("NOT complete").Exec(ctx)
	return l, rowError(err, "repository version", id.String())
}

// checkNotLeased fails if a running task, other than the handle's own, holds an incomplete version.
func (tx *Tx) checkNotLeased(ctx context.Context, left []*RepositoryVersion) error {
	list := make([]uuid.UUID, len(left))
	for i, v := range left {
		list[i] = v.ID
	}
	q := tx.q.NewSelect().TableExpr("core_repositoryversion AS rv").
		Join("JOIN core_task AS t ON t.pulp_id = rv.lease_task_id").
		Where("rv.pulp_id IN (?)", bun.List(list)).Where("t.state IN (?, ?)", Running, Canceling)
	if tx.task != nil {
		q = q.Where("t.pulp_id <> ?", tx.task.TaskID)
	}
	n, err := q.Count(ctx)
	if err != nil {
		return rowError(err, "repository version", list[0].String())
	}
	if n > 0 {
		return errBeingChanged
	}
	return nil
}

// endIncomplete removes an incomplete version for good. One above the latest complete version was being built, or was
// the latest and being deleted, and is undone; one below was being deleted, and that is finished.
func (db *DB) endIncomplete(ctx context.Context, l lease, v *RepositoryVersion) error {
	latest, err := db.latestNumber(ctx, v.RepositoryID)
	if err != nil {
		return err
	}
	if v.Number > latest {
		return db.undoVersion(ctx, l, v, latest)
	}
	return db.squashVersion(ctx, l, v)
}

// latestNumber returns the number of the latest complete version, or -1.
func (db *DB) latestNumber(ctx context.Context, repositoryID uuid.UUID) (int, error) {
	n := -1
	err := db.q.NewRaw(`SELECT COALESCE(MAX(number), -1) FROM core_repositoryversion
		WHERE repository_id = ? AND complete`, repositoryID).Scan(ctx, &n)
	return n, rowError(err, "versions of repository", repositoryID.String())
}

// undoBatch is how many memberships a transaction changes at most where no keys travel.
const undoBatch = 5000

// undoVersion takes back every change above the latest complete version and removes the incomplete version v.
func (db *DB) undoVersion(ctx context.Context, l lease, v *RepositoryVersion, latest int) error {
	for _, stmt := range []string{
		`DELETE FROM core_repositorycontent WHERE repository_id = ?0 AND version_added > ?1 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc
			WHERE rc.repository_id = ?0 AND rc.version_added > ?1 AND rc.version_added >= 0 LIMIT ?2)`,
		`UPDATE core_repositorycontent SET version_removed = NULL
		WHERE repository_id = ?0 AND version_removed > ?1 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc
			WHERE rc.repository_id = ?0 AND rc.version_removed > ?1 LIMIT ?2)`,
	} {
		err := db.leasedBatches(ctx, l, v.ID, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
			return affected(tx.q.NewRaw(stmt, v.RepositoryID, latest, undoBatch).Exec(ctx))
		})
		if err != nil {
			return err
		}
	}
	return db.removeVersionRow(ctx, l, v, nil)
}

// leasedBatches runs fn in one leased transaction after the other until it reports fewer than limit changes.
func (db *DB) leasedBatches(ctx context.Context, l lease, versionID uuid.UUID, limit int64,
	fn func(ctx context.Context, tx *Tx) (int64, error),
) error {
	for {
		var n int64
		err := db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
			err := l.hold(ctx, tx, versionID)
			if err == nil {
				n, err = fn(ctx, tx)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("models: memberships: %w", err)
		}
		if n < limit {
			return nil
		}
	}
}

// removeVersionRow removes an incomplete version that has no memberships any more, with its publications. The same
// transaction does what then follows, if that is not nil.
func (db *DB) removeVersionRow(ctx context.Context, l lease, v *RepositoryVersion,
	then func(ctx context.Context, tx *Tx) error,
) error {
	if err := db.forget(ctx, l, v.ID); err != nil {
		return err
	}
	if err := db.removePublications(ctx, l, v); err != nil {
		return err
	}
	return db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := l.hold(ctx, tx, v.ID); err != nil {
			return err
		}
		_, err := tx.q.NewDelete().TableExpr("core_createdresource").
			Where("prn = ?", CorePRN("repositoryversion", v.ID)).Exec(ctx)
		if err != nil {
			return rowError(err, "created resource", v.ID.String())
		}
		_, err = tx.q.NewDelete().TableExpr("core_repositoryversion").Where("pulp_id = ?", v.ID).Exec(ctx)
		if err != nil || then == nil {
			return rowError(err, "repository version", v.ID.String())
		}
		return then(ctx, tx)
	})
}

// removePublications removes the publications of an incomplete version, which can get no new ones.
func (db *DB) removePublications(ctx context.Context, l lease, v *RepositoryVersion) error {
	var pubs []struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	err := db.q.NewSelect().TableExpr("core_publication").Column("pulp_id", "pulp_type").
		Where("repository_version_id = ?", v.ID).Scan(ctx, &pubs)
	if err != nil {
		return rowError(err, "publications of version", v.ID.String())
	}
	for _, p := range pubs {
		s := db.registry.byType[PublicationMaster][p.Type]
		if s == nil {
			return fmt.Errorf("models: publication type %q is of no plugin here: %w", p.Type, pulperr.Unsupported)
		}
		var o *leftover
		err := db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
			err := l.hold(ctx, tx, v.ID)
			if err == nil {
				o, err = tx.deleteOwnerRow(ctx, s, p.ID)
			}
			return err
		})
		if errors.Is(err, pulperr.NotFound) { // its builder gave it up
			continue
		}
		if err == nil {
			err = db.followUp(ctx, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget empties what the incomplete version has seen.
func (db *DB) forget(ctx context.Context, l lease, versionID uuid.UUID) error {
	return db.leasedBatches(ctx, l, versionID, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
		return affected(tx.q.NewRaw(`DELETE FROM core_versionseen WHERE version_id = ?0 AND content_id IN (
			SELECT s.content_id FROM core_versionseen AS s WHERE s.version_id = ?0 LIMIT ?1)`,
			versionID, undoBatch).Exec(ctx))
	})
}
