package models

import (
	"context"
	"reflect"

	"github.com/google/uuid"
)

// Abandon ends the calling goroutine's hold on a version as the death of its process would: nothing is undone.
func Abandon(v *NewVersion) { v.lease = lease{id: uuid.Nil} }

// BeginDelete deletes a version up to the point where it is invisible, and dies.
func BeginDelete(ctx context.Context, db *DB, v *RepositoryVersion) error {
	if err := db.repairVersions(ctx, v.RepositoryID); err != nil {
		return err
	}
	_, _, err := db.beginDelete(ctx, v.ID)
	return err
}

// Forget empties what a mirroring change has seen so far.
func Forget(ctx context.Context, db *DB, repositoryID uuid.UUID) error {
	return db.forget(ctx, repositoryID)
}

// Clean reports whether no incomplete version is left.
func Clean(ctx context.Context, db *DB, repositoryID uuid.UUID) (bool, error) {
	n, err := db.q.NewSelect().TableExpr("core_repositoryversion").Where("repository_id = ?", repositoryID).
		Where("NOT complete").Count(ctx)
	return n == 0, err
}

// DeadMemberships counts memberships that no version of a repository sees.
func DeadMemberships(ctx context.Context, db *DB, repositoryID uuid.UUID) (int64, error) {
	return db.q.NewSelect().TableExpr("core_repositorycontent AS rc").Where("rc.repository_id = ?", repositoryID).
		Where(`NOT EXISTS (SELECT 1 FROM core_repositoryversion AS v WHERE v.repository_id = rc.repository_id
			AND v.number >= rc.version_added AND (rc.version_removed IS NULL OR v.number < rc.version_removed))`).Count(ctx)
}

// ReadTag reads a pulp tag of a string field.
func ReadTag(tag string) (Field, error) {
	f := Field{Column: "text", Own: true, Go: reflect.TypeFor[string]()}
	err := f.readTag(tag)
	return f, err
}
