package models

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NewVersion is a repository version that is being built, see [CreateVersion]. It starts with the content of the
// repository's latest version, or of the base that the options name. Its methods are safe for concurrent use and fail
// with Conflict (PLP0006) once the closure has returned.
type NewVersion struct {
	db      *DB
	repo    AnyRepository
	schema  *schema
	row     *RepositoryVersion
	base    *RepositoryVersion // nil for the latest version
	members *memberWriter
}

// Number returns the number the version will have.
func (v *NewVersion) Number() int { return v.row.Number }

// Version returns the row. What the closure puts into its Info is saved with the version.
func (v *NewVersion) Version() *RepositoryVersion { return v.row }

// Repository returns the repository in its most derived form, as it was given to [CreateVersion].
func (v *NewVersion) Repository() AnyRepository { return v.repo }

// Base returns the version given as base, or nil.
func (v *NewVersion) Base() *RepositoryVersion { return v.base }

// DB returns the handle the version is built with.
func (v *NewVersion) DB() *DB { return v.db }

// Add makes content units members. It returns how many were not members before.
//
// Errors: Invalid if one is not in the domain; its whole batch of 1,000 is not added then. Whether the repository
// accepts a unit's type is checked when the version is completed.
func (v *NewVersion) Add(ctx context.Context, ids []uuid.UUID) (added int64, err error) {
	return v.members.inBatches(ctx, ids, v.members.add)
}

// Remove takes content units out. It returns how many were members; the others are passed over.
func (v *NewVersion) Remove(ctx context.Context, ids []uuid.UUID) (removed int64, err error) {
	return v.members.inBatches(ctx, ids, v.members.takeOut)
}

// RemoveAll takes all content units out and returns how many they were.
func (v *NewVersion) RemoveAll(ctx context.Context) (removed int64, err error) {
	return v.removeWhere(ctx, "TRUE")
}

// Set makes the units the only members. It does not touch what [NewVersion.MarkSeen] noted; for sets that do not fit
// into memory, walk over them with [NewVersion.Add] and MarkSeen and end with [NewVersion.RemoveUnseen].
//
// Errors: Invalid if one is not in the domain.
func (v *NewVersion) Set(ctx context.Context, ids []uuid.UUID) error {
	wanted := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		wanted[id] = struct{}{}
	}
	// The removals come first, so that a unit can take the place of a removed one.
	_, err := v.removePages(ctx, func(id uuid.UUID) bool {
		_, ok := wanted[id]
		return !ok
	}, "TRUE")
	if err == nil {
		_, err = v.Add(ctx, ids)
	}
	return err
}

// Missing returns those of the given content units that are not members, in the order given.
func (v *NewVersion) Missing(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	var missing []uuid.UUID
	for batch := range slices.Chunk(ids, memberBatch) {
		var found []uuid.UUID
		err := v.db.Bun().NewSelect().TableExpr("core_repositorycontent").Column("content_id").
			Where("repository_id = ?", v.row.RepositoryID).Where("version_removed IS NULL").
			Where("content_id IN (?)", bun.List(batch)).Scan(ctx, &found)
		if err != nil {
			return nil, rowError(err, "content of repository", v.row.RepositoryID.String())
		}
		missing = append(missing, without(batch, found)...)
	}
	return missing, nil
}

// MarkSeen notes that a mirrored source has these units, whether or not they are members. The notes are kept in the
// database, so that memory does not grow with the source.
func (v *NewVersion) MarkSeen(ctx context.Context, ids []uuid.UUID) error {
	_, err := v.members.inBatches(ctx, ids, v.members.markSeen)
	return err
}

// RemoveUnseen takes out all units that were not passed to [NewVersion.MarkSeen] since the version was started, and
// returns how many they were. If MarkSeen was not called, all units go.
func (v *NewVersion) RemoveUnseen(ctx context.Context) (removed int64, err error) {
	return v.removeWhere(ctx, `NOT EXISTS (SELECT 1 FROM core_versionseen AS s
		WHERE s.version_id = ? AND s.content_id = rc.content_id)`, v.row.ID)
}

// removeWhere takes out all members for which a condition on rc holds.
func (v *NewVersion) removeWhere(ctx context.Context, cond string, args ...any) (removed int64, err error) {
	return v.removePages(ctx, func(uuid.UUID) bool { return true }, cond, args...)
}

// removePages takes out all members for which both conditions hold, page by page.
func (v *NewVersion) removePages(ctx context.Context, goes func(uuid.UUID) bool, cond string, args ...any) (
	removed int64, err error,
) {
	var last uuid.UUID
	for {
		// Each page starts after the last key. An offset would skip members, because Remove takes rows of earlier pages away.
		var page []uuid.UUID
		err := v.db.Bun().NewSelect().TableExpr("core_repositorycontent AS rc").Column("rc.content_id").
			Where("rc.repository_id = ?", v.row.RepositoryID).Where("rc.version_removed IS NULL").
			Where("rc.content_id > ?", last).Where(cond, args...).
			OrderExpr("rc.content_id").Limit(memberBatch).Scan(ctx, &page)
		if err != nil {
			return removed, rowError(err, "content of repository", v.row.RepositoryID.String())
		}
		// Before DeleteFunc shortens the page: a full page of which few units go is not the last one.
		full := len(page) == memberBatch
		if full {
			last = page[len(page)-1]
		}
		n, err := v.Remove(ctx, slices.DeleteFunc(page, func(id uuid.UUID) bool { return !goes(id) }))
		removed += n
		if err != nil || !full {
			return removed, err
		}
	}
}

// without returns the ids that are not among the others.
func without(ids, others []uuid.UUID) []uuid.UUID {
	if len(others) == 0 {
		return slices.Clone(ids)
	}
	known := make(map[uuid.UUID]struct{}, len(others))
	for _, id := range others {
		known[id] = struct{}{}
	}
	var rest []uuid.UUID
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			rest = append(rest, id)
		}
	}
	return rest
}
