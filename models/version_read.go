package models

import (
	"context"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// LatestVersion returns the complete version with the highest number.
//
// Errors: NotFound if there is no such repository in the domain.
func LatestVersion(ctx context.Context, db *DB, repositoryID uuid.UUID) (*RepositoryVersion, error) {
	v := new(RepositoryVersion)
	err := completeVersions(db, v).Where("rv.repository_id = ?", repositoryID).OrderExpr("rv.number DESC").Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, rowError(err, "latest version of repository", repositoryID.String())
	}
	return v, nil
}

// VersionByNumber returns a complete version of a repository.
//
// Errors: NotFound.
func VersionByNumber(ctx context.Context, db *DB, repositoryID uuid.UUID, number int) (*RepositoryVersion, error) {
	v := new(RepositoryVersion)
	err := completeVersions(db, v).Where("rv.repository_id = ?", repositoryID).Where("rv.number = ?", number).Scan(ctx)
	if err != nil {
		return nil, rowError(err, fmt.Sprintf("version %d of repository", number), repositoryID.String())
	}
	return v, nil
}

// VersionByID returns a complete version.
//
// Errors: NotFound.
func VersionByID(ctx context.Context, db *DB, id uuid.UUID) (*RepositoryVersion, error) {
	v := new(RepositoryVersion)
	if err := completeVersions(db, v).Where("rv.pulp_id = ?", id).Scan(ctx); err != nil {
		return nil, rowError(err, "repository version", id.String())
	}
	return v, nil
}

// Versions returns a repository's complete versions, the newest first, after passing over offset of them. A limit of
// 0 is none.
func Versions(ctx context.Context, db *DB, repositoryID uuid.UUID, limit, offset int) ([]*RepositoryVersion, error) {
	var list []*RepositoryVersion
	if limit == 0 {
		limit = noLimit
	}
	err := completeVersions(db, &list).Where("rv.repository_id = ?", repositoryID).OrderExpr("rv.number DESC").
		Limit(int64(limit)).Offset(int64(offset)).Scan(ctx)
	return list, rowError(err, "versions of repository", repositoryID.String())
}

// noLimit stands for no limit: SQLite has no OFFSET without LIMIT.
const noLimit = math.MaxInt32

// CountVersions returns how many complete versions a repository has.
func CountVersions(ctx context.Context, db *DB, repositoryID uuid.UUID) (int64, error) {
	n, err := completeVersions(db, (*RepositoryVersion)(nil)).Where("rv.repository_id = ?", repositoryID).Count(ctx)
	return n, rowError(err, "versions of repository", repositoryID.String())
}

// completeVersions starts a query for complete versions of the domain, as rv.
func completeVersions(db *DB, dest any) *bun.SelectQuery {
	return db.q.NewSelect().Model(dest).Where("rv.complete").Where(`EXISTS (SELECT 1 FROM core_repository AS r
		WHERE r.pulp_id = rv.repository_id AND r.pulp_domain_id = ?)`, db.domain.ID)
}

// ContentIDs returns the keys of at most limit members that sort after the key given, in key order. Begin with
// uuid.Nil; the last page is shorter than limit.
func (v *RepositoryVersion) ContentIDs(ctx context.Context, db *DB, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	var list []uuid.UUID
	// The page is read in the order of the primary key, so it needs no sorting. It starts after a key, because an offset
	// would read all pages before it.
	err := db.q.NewSelect().TableExpr("core_repositorycontent").Column("content_id").
		Where("repository_id = ?", v.RepositoryID).Where("content_id > ?", after).Where("version_added <= ?", v.Number).
		Where("version_removed IS NULL OR version_removed > ?", v.Number).
		OrderExpr("content_id").Limit(int64(limit)).Scan(ctx, &list)
	return list, rowError(err, "content of version", v.ID.String())
}

// Has returns those of the given content units that are members.
func (v *RepositoryVersion) Has(ctx context.Context, db *DB, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	members := make(map[uuid.UUID]bool, len(ids))
	for len(ids) > 0 {
		batch := ids[:min(len(ids), memberBatch)]
		ids = ids[len(batch):]
		var found []uuid.UUID
		err := db.q.NewSelect().TableExpr("core_repositorycontent").Column("content_id").
			Where("repository_id = ?", v.RepositoryID).Where("content_id IN (?)", bun.List(batch)).
			Where("version_added <= ?", v.Number).
			Where("version_removed IS NULL OR version_removed > ?", v.Number).Scan(ctx, &found)
		if err != nil {
			return nil, rowError(err, "content of version", v.ID.String())
		}
		for _, id := range found {
			members[id] = true
		}
	}
	return members, nil
}

// AddedIn keeps content units that a complete version has and the complete version before it has not.
func AddedIn(v *RepositoryVersion) Cond {
	return Where(`m.pulp_id IN (SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0
		AND `+useAddedIndex("rc")+` AND rc.version_added <= ?1 AND rc.version_added > `+beforeSQL+`)`,
		v.RepositoryID, v.Number)
}

// RemovedIn keeps content units that a complete version has not and the complete version before it has.
func RemovedIn(v *RepositoryVersion) Cond {
	return Where(`m.pulp_id IN (SELECT rc.content_id FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0
		AND rc.version_removed <= ?1 AND rc.version_removed > `+beforeSQL+`)`, v.RepositoryID, v.Number)
}

// beforeSQL is the number of the complete version before number ?1 of repository ?0, or -1. Versions between the two
// were deleted; what they changed counts as changed by the later one.
const beforeSQL = `(SELECT COALESCE(MAX(p.number), -1) FROM core_repositoryversion AS p
	WHERE p.repository_id = ?0 AND p.complete AND p.number < ?1)`
