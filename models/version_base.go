package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// inVersionSQL is the membership of alias.content_id in a version, with the arguments repository, number, number.
func inVersionSQL(alias string) string {
	return `EXISTS (SELECT 1 FROM core_repositorycontent AS b WHERE b.repository_id = ?
		AND b.content_id = ` + alias + `.content_id AND b.version_added <= ?
		AND (b.version_removed IS NULL OR b.version_removed > ?))`
}

// checkBase fails unless a base is nil or a complete version of the handle's domain.
func (db *DB) checkBase(ctx context.Context, base *RepositoryVersion) error {
	if base == nil {
		return nil
	}
	if _, err := VersionByID(ctx, db, base.ID); err != nil {
		return fmt.Errorf("models: base version: %w", err)
	}
	return nil
}

// startFromBase replaces what the version has by what its base has.
func (v *NewVersion) startFromBase(ctx context.Context) error {
	b := v.base
	_, err := v.removeWhere(ctx, "NOT "+inVersionSQL("rc"), b.RepositoryID, b.Number, b.Number)
	if err != nil {
		return err
	}
	var last uuid.UUID
	for {
		page, err := b.ContentIDs(ctx, v.db, last, memberBatch)
		if err != nil {
			return err
		}
		missing, err := v.Missing(ctx, page)
		if err == nil {
			_, err = v.Add(ctx, missing)
		}
		if err != nil || len(page) < memberBatch {
			return err
		}
		last = page[len(page)-1]
	}
}
