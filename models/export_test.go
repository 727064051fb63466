package models

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// WithHook returns a handle whose statements a hook sees.
func WithHook(db *DB, hook bun.QueryHook) *DB {
	h := *db
	h.q = db.conn.Bun.WithQueryHook(hook)
	return &h
}

// Abandon ends the calling goroutine's hold on a version as the death of its process would: nothing is undone.
func Abandon(v *NewVersion) { v.members.lease = lease{id: uuid.Nil} }

// BeginDelete deletes a version up to the point where it is invisible, and dies.
func BeginDelete(ctx context.Context, db *DB, v *RepositoryVersion) error {
	_, err := versionDeleter{db, v}.begin(ctx)
	return err
}

// Forget empties what a mirroring change has seen so far.
func Forget(ctx context.Context, v *NewVersion) error { return v.members.forgetSeen(ctx) }

// WrongCounts compares the counts of every complete version of a repository with its memberships and returns the
// numbers of those that differ.
func WrongCounts(ctx context.Context, db *DB, repositoryID uuid.UUID) (wrong []int, err error) {
	versions, err := Versions(ctx, db, repositoryID, 0, 0)
	if err != nil {
		return nil, err
	}
	before := -1
	for _, v := range slices.Backward(versions) {
		counts, err := versionCounter{db}.changesByType(ctx, v.RepositoryID, before, v.Number)
		if err != nil {
			return nil, err
		}
		present, err := versionCounter{db}.countByType(ctx, v.RepositoryID,
			"rc.version_added <= ? AND (rc.version_removed IS NULL OR rc.version_removed > ?)", v.Number, v.Number)
		if err != nil {
			return nil, err
		}
		for name, n := range present {
			c := counts[name]
			c.Present = n
			counts[name] = c
		}
		kept, err := v.Counts(ctx, db)
		if err != nil {
			return nil, err
		}
		if !maps.Equal(kept, counts) {
			wrong = append(wrong, v.Number)
		}
		before = v.Number
	}
	return wrong, nil
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
	return f, errors.Join(append(f.readTag(tag), f.check()...)...)
}

// The layout of migrations.
var (
	NormalForm = normalForm
	Statements = statements
)
