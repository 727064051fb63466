package models

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// DiscardIncomplete removes the incomplete repository version or publication that a task has left, given its PRN. A row
// that is complete or of another kind stays as it is, and a row that is gone is no error.
//
// Errors: Invalid if prn is no PRN; Locked if a running task, other than the handle's own, works on it.
func DiscardIncomplete(ctx context.Context, db *DB, prn string) error {
	p, err := ParsePRN(prn)
	if err != nil {
		return err
	}
	switch {
	case p.Plugin == "core" && p.Model == "repositoryversion":
		return discardVersion(ctx, db, p.ID)
	case strings.HasSuffix(p.Model, string(PublicationMaster)):
		return DiscardPublication(ctx, db, p.ID)
	}
	return nil
}

// discardVersion removes an incomplete version. Other incomplete versions of its repository stay as they are.
func discardVersion(ctx context.Context, db *DB, id uuid.UUID) error {
	row := new(RepositoryVersion)
	find := func(ctx context.Context, db *DB) error {
		err := db.q.NewSelect().Model(row).Where("rv.pulp_id = ?", id).Where("NOT rv.complete").Scan(ctx)
		return rowError(err, "incomplete repository version", id.String())
	}
	// Read without a lock at first, to learn which repository to lock.
	if err := find(ctx, db); err != nil {
		return ignoreNotFound(err)
	}
	release, err := db.locks.claim(row.RepositoryID)
	if err != nil {
		return err
	}
	defer release()
	v := leasedVersion{db: db, row: row}
	err = db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		locked := lockedVersions{tx, row.RepositoryID}
		if _, err := locked.lock(ctx); err != nil {
			return err
		}
		// Again under the lock: the version may have become complete, or been removed, meanwhile.
		if err := find(ctx, tx.DB); err != nil {
			return err
		}
		if err := locked.checkNotLeased(ctx, []*RepositoryVersion{row}); err != nil {
			return err
		}
		var err error
		// One version only: another incomplete version of the repository may belong to a running task.
		v.lease, err = locked.takeOne(ctx, id)
		return err
	})
	if err == nil {
		err = v.remove(ctx)
	}
	if err = ignoreNotFound(err); err != nil {
		return fmt.Errorf("models: discard repository version %s: %w", id, err)
	}
	return nil
}

// ignoreNotFound returns nil for an error of kind NotFound: a row that is gone need not be discarded.
func ignoreNotFound(err error) error {
	if errors.Is(err, pulperr.NotFound) {
		return nil
	}
	return err
}
