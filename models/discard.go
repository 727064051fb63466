package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// DiscardIncomplete removes what a task left unfinished, a repository version or a publication, given its PRN. What is
// complete, gone, or of another kind stays as it is.
//
// Errors: Invalid if prn is no PRN; Locked if a running task, other than the handle's own, works on it.
func DiscardIncomplete(ctx context.Context, db *DB, prn string) error {
	p, err := ParsePRN(prn)
	if err != nil {
		return err
	}
	switch {
	case p.Plugin == "core" && p.Model == "repositoryversion":
		return db.discardVersion(ctx, p.ID)
	case strings.HasSuffix(p.Model, string(PublicationMaster)):
		return DiscardPublication(ctx, db, p.ID)
	}
	return nil
}

// discardVersion ends an incomplete version. Other incomplete versions of its repository stay as they are.
func (db *DB) discardVersion(ctx context.Context, id uuid.UUID) error {
	var l lease
	var left []*RepositoryVersion
	find := func(ctx context.Context, q *bun.SelectQuery) error {
		left = nil
		err := q.Model(&left).Where("rv.pulp_id = ?", id).Where("NOT rv.complete").Scan(ctx)
		return rowError(err, "repository version", id.String())
	}
	if err := find(ctx, db.q.NewSelect()); err != nil || len(left) == 0 {
		return err
	}
	release, err := db.locks.claim(left[0].RepositoryID)
	if err != nil {
		return err
	}
	defer release()
	err = db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.lockRepository(ctx, left[0].RepositoryID); err != nil {
			return err
		}
		if err := find(ctx, tx.q.NewSelect()); err != nil || len(left) == 0 {
			return err
		}
		if err := tx.checkNotLeased(ctx, left); err != nil {
			return err
		}
		var err error
		l, err = tx.take(ctx, "pulp_id = ?", id)
		return err
	})
	if err == nil && len(left) > 0 {
		err = db.endIncomplete(ctx, l, left[0])
	}
	if err != nil {
		return fmt.Errorf("models: discard repository version %s: %w", id, err)
	}
	return nil
}
