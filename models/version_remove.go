package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// leasedVersion is an incomplete version under this process's lease. It is removed in transactions of a few thousand
// rows each; a process that dies in between leaves the version incomplete, and the next change of the repository goes
// on from there.
type leasedVersion struct {
	db    *DB
	lease lease
	row   *RepositoryVersion
}

// undoBatch is how many memberships a transaction changes at most if the statement selects them itself.
const undoBatch = 5000

// remove removes the version for good. One above the latest complete version was being built, or was the latest and
// being deleted: it is undone. One below was being deleted, and that is finished.
func (v leasedVersion) remove(ctx context.Context) error {
	// Read without a lock: as long as this version is incomplete no other begins, and after a takeover the lease fails.
	latest := -1
	err := v.db.Bun().NewRaw(`SELECT COALESCE(MAX(number), -1) FROM core_repositoryversion
		WHERE repository_id = ? AND complete`, v.row.RepositoryID).Scan(ctx, &latest)
	if err != nil {
		return rowError(err, "versions of repository", v.row.RepositoryID.String())
	}
	if v.row.Number > latest {
		return v.undo(ctx, latest)
	}
	return v.squash(ctx)
}

// undo takes back every change above the latest complete version and removes the version.
func (v leasedVersion) undo(ctx context.Context, latest int) error {
	// Postgres has no DELETE and no UPDATE with LIMIT, so an inner SELECT limits them. The outer condition repeats the
	// number, because a unit may have older memberships, which stay. Added rows go first: a unit that was removed and
	// added again would otherwise have two open memberships for a while.
	for _, stmt := range []string{
		`DELETE FROM core_repositorycontent WHERE repository_id = ?0 AND version_added > ?1 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc
			WHERE rc.repository_id = ?0 AND rc.version_added > ?1 AND ` + useAddedIndex("rc") + ` LIMIT ?2)`,
		`UPDATE core_repositorycontent SET version_removed = NULL
		WHERE repository_id = ?0 AND version_removed > ?1 AND content_id IN (
			SELECT rc.content_id FROM core_repositorycontent AS rc
			WHERE rc.repository_id = ?0 AND rc.version_removed > ?1 LIMIT ?2)`,
	} {
		err := v.batches(ctx, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
			return affected(tx.q.NewRaw(stmt, v.row.RepositoryID, latest, undoBatch).Exec(ctx))
		})
		if err != nil {
			return err
		}
	}
	return v.removeRow(ctx, nil)
}

// squash removes the memberships that only the version had, and then the version, which is not the latest.
func (v leasedVersion) squash(ctx context.Context) error {
	g, err := newGap(ctx, v.db, v.row)
	if err != nil {
		return err
	}
	for _, step := range []func(ctx context.Context, tx *Tx) (int64, error){g.merge, g.drop} {
		if err := v.batches(ctx, memberBatch, step); err != nil {
			return err
		}
	}
	return v.removeRow(ctx, nil)
}

// tx runs fn in a transaction that holds the lease.
func (v leasedVersion) tx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return v.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		// The lease is held in the transaction of the change. If it was checked before, another process could take over in
		// between.
		if err := v.lease.hold(ctx, tx, v.row.ID); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

// batches runs fn in one leased transaction after the other until it reports fewer than limit changes.
func (v leasedVersion) batches(ctx context.Context, limit int64,
	fn func(ctx context.Context, tx *Tx) (int64, error),
) error {
	for n := limit; n >= limit; {
		// Each batch is a transaction of its own, because all other writers of SQLite wait while one is open.
		err := v.tx(ctx, func(ctx context.Context, tx *Tx) (err error) {
			n, err = fn(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("models: memberships: %w", err)
		}
	}
	return nil
}

// removeRow removes the row of a version without memberships, and its publications. The transaction that removes the
// row also runs then, if that is not nil.
func (v leasedVersion) removeRow(ctx context.Context, then func(ctx context.Context, tx *Tx) error) error {
	// The notes go before the row and in batches: ON DELETE CASCADE would delete all of them in one transaction.
	if err := v.forgetSeen(ctx); err != nil {
		return err
	}
	// The publications go before the row too, because their foreign key refuses its deletion (RESTRICT).
	if err := v.removePublications(ctx); err != nil {
		return err
	}
	return v.tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := (createdResources{tx.DB}).forget(ctx, CorePRN("repositoryversion", v.row.ID)); err != nil {
			return err
		}
		_, err := tx.q.NewDelete().TableExpr("core_repositoryversion").Where("pulp_id = ?", v.row.ID).Exec(ctx)
		if err != nil || then == nil {
			return rowError(err, "repository version", v.row.ID.String())
		}
		return then(ctx, tx)
	})
}

// removePublications removes the publications of the version, which can get no new ones: [Publish] holds a complete
// version.
func (v leasedVersion) removePublications(ctx context.Context) error {
	var pubs []struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	err := v.db.Bun().NewSelect().TableExpr("core_publication").Column("pulp_id", "pulp_type").
		Where("repository_version_id = ?", v.row.ID).Scan(ctx, &pubs)
	if err != nil {
		return rowError(err, "publications of version", v.row.ID.String())
	}
	for _, p := range pubs {
		s := v.db.Registry().byType[PublicationMaster][p.Type]
		if s == nil {
			return fmt.Errorf("models: publication type %q belongs to no plugin of this App: %w", p.Type, pulperr.Unsupported)
		}
		owner := ownerRemover{table{s, v.db}, p.ID}
		// The row is deleted under the lease. The files that belong to it are invisible then, and need no lease.
		err := v.tx(ctx, owner.removeRow)
		// Not found: its builder could not complete it, because the version is gone, and has discarded it meanwhile.
		if errors.Is(err, pulperr.NotFound) {
			continue
		}
		if err == nil {
			err = owner.followUp(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetSeen removes the notes of [NewVersion.MarkSeen].
func (v leasedVersion) forgetSeen(ctx context.Context) error {
	return v.batches(ctx, undoBatch, func(ctx context.Context, tx *Tx) (int64, error) {
		return affected(tx.q.NewRaw(`DELETE FROM core_versionseen WHERE version_id = ?0 AND content_id IN (
			SELECT s.content_id FROM core_versionseen AS s WHERE s.version_id = ?0 LIMIT ?1)`,
			v.row.ID, undoBatch).Exec(ctx))
	})
}
