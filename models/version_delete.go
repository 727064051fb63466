package models

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// DeleteVersion removes a complete version. No other version changes: what it added or removed counts as added or
// removed by the next one, or is undone if it was the latest. Its publications go with it, and its number is not used
// again. The cost depends on what the version changed, not on what it holds.
//
// Errors: Invalid if it is the only version (PLP0011) or is being distributed; Locked if the repository is being
// changed; NotFound.
func DeleteVersion(ctx context.Context, db *DB, v *RepositoryVersion) error {
	release, err := db.locks.claim(v.RepositoryID)
	if err != nil {
		return err
	}
	defer release()
	return versionDeleter{db, v}.delete(ctx)
}

// versionDeleter deletes a complete version of a repository that is locked in this process.
type versionDeleter struct {
	db *DB
	v  *RepositoryVersion
}

// delete makes the version invisible and then removes its memberships in batches. If the process dies in between, the
// next change of the repository goes on.
func (d versionDeleter) delete(ctx context.Context) error {
	l, err := d.begin(ctx)
	if err == nil {
		err = leasedVersion{d.db, l, d.v}.remove(ctx)
	}
	if err != nil {
		return fmt.Errorf("models: delete version %d of repository %s: %w", d.v.Number, d.v.RepositoryID, err)
	}
	return nil
}

// begin hides the version, adds its counts to those of the next one, and leases it.
func (d versionDeleter) begin(ctx context.Context) (l lease, err error) {
	hide := func(ctx context.Context, locked lockedVersions, _ lockedRepository) error {
		if err := d.check(ctx, locked.tx); err != nil {
			return err
		}
		// Together with the hiding, so that the counts of the next version are right whenever they can be seen.
		if err := (versionCounter{locked.tx.DB}).fold(ctx, d.v); err != nil {
			return err
		}
		if err := locked.hide(ctx, d.v); err != nil {
			return err
		}
		l, err = locked.take(ctx)
		return err
	}
	err = changeRepository(ctx, d.db, d.v.RepositoryID, hide)
	return l, err
}

// check fails unless the version is still complete, not the only one, and not being distributed.
func (d versionDeleter) check(ctx context.Context, tx *Tx) error {
	// The caller has read the version without a lock. Another process may have hidden or deleted it since.
	if _, err := VersionByID(ctx, tx.DB, d.v.ID); err != nil {
		return err
	}
	others, err := completeVersions(tx.DB, (*RepositoryVersion)(nil)).Where("rv.repository_id = ?", d.v.RepositoryID).
		Where("rv.pulp_id <> ?", d.v.ID).Exists(ctx)
	if err != nil {
		return rowError(err, "versions of repository", d.v.RepositoryID.String())
	}
	if !others {
		return pulperr.Coded("PLP0011", pulperr.Invalid, "Cannot delete repository version. "+
			"Repositories must have at least one repository version.")
	}
	protected, err := tx.q.NewSelect().TableExpr("core_repositoryversion AS rv").Where("rv.pulp_id = ?", d.v.ID).
		Where("rv.complete").Where(protectedSQL).Exists(ctx)
	if err == nil && protected {
		return pulperr.Public(pulperr.Invalid,
			"version %d is being distributed; point its distributions elsewhere first", d.v.Number)
	}
	return rowError(err, "repository version", d.v.ID.String())
}

// gap is the range of numbers that a version leaves when it is deleted: above prev and up to k, where next is the
// complete version above.
//
//	… ── prev ──┤  gap: prev+1 … k  ├── next ── …
//
// Memberships hold numbers and not versions. One that begins or ends in the gap is therefore right for every other
// version as it is: it counts as a change of next. Only two kinds of membership are left over, see merge and drop.
type gap struct {
	repository    uuid.UUID
	prev, k, next int
	nextID        uuid.UUID
}

// newGap returns the gap that the deletion of a version leaves. The version is not the latest.
//
// Errors: NotFound if it is the latest.
func newGap(ctx context.Context, db *DB, v *RepositoryVersion) (*gap, error) {
	next := new(RepositoryVersion)
	err := db.q.NewSelect().Model(next).Where("repository_id = ?", v.RepositoryID).Where("complete").
		Where("number > ?", v.Number).OrderExpr("number").Limit(1).Scan(ctx)
	if err != nil {
		return nil, rowError(err, "version after", v.ID.String())
	}
	g := &gap{repository: v.RepositoryID, prev: -1, k: v.Number, next: next.Number, nextID: next.ID}
	err = db.q.NewRaw(`SELECT COALESCE(MAX(number), -1) FROM core_repositoryversion
		WHERE repository_id = ? AND complete AND number < ?`, v.RepositoryID, v.Number).Scan(ctx, &g.prev)
	return g, rowError(err, "version before", v.ID.String())
}

// merge finds units that left in the gap and came back in the next version: neither of that is a change between the
// neighbours. The older membership goes on until the newer one ended.
func (g *gap) merge(ctx context.Context, tx *Tx) (int64, error) {
	// LIMIT needs neither an order nor an offset: merged units do not match any more, so the next batch finds others.
	units, err := gapUnits(ctx, tx, `SELECT c.pulp_id, c.pulp_type FROM core_repositorycontent AS old
		JOIN core_repositorycontent AS young ON young.repository_id = old.repository_id
			AND young.content_id = old.content_id AND young.version_added > ?2 AND young.version_added <= ?3
		JOIN core_content AS c ON c.pulp_id = old.content_id
		WHERE old.repository_id = ?0 AND old.version_removed > ?1 AND old.version_removed <= ?2 LIMIT ?4`,
		g.repository, g.prev, g.k, g.next, memberBatch)
	if err != nil || len(units) == 0 {
		return 0, err
	}
	// The younger rows are deleted before the older ones are extended: a unit has at most one open membership.
	var young []RepositoryContent
	err = tx.q.NewRaw(`DELETE FROM core_repositorycontent WHERE repository_id = ? AND version_added > ?
		AND version_added <= ? AND content_id IN (?) RETURNING content_id, version_removed`,
		g.repository, g.k, g.next, bun.List(ids(units))).Scan(ctx, &young)
	if err != nil {
		return 0, err
	}
	// One UPDATE for each end instead of each unit. 0 stands for an open end, because version 0 is empty and removes no
	// unit.
	byEnd := map[int][]uuid.UUID{}
	for _, y := range young {
		end := 0
		if y.Removed != nil {
			end = *y.Removed
		}
		byEnd[end] = append(byEnd[end], y.ContentID)
	}
	for _, end := range slices.Sorted(maps.Keys(byEnd)) {
		_, err := tx.q.NewRaw(`UPDATE core_repositorycontent SET version_removed = NULLIF(?, 0) WHERE repository_id = ?
			AND version_removed > ? AND version_removed <= ? AND content_id IN (?)`,
			end, g.repository, g.prev, g.k, bun.List(byEnd[end])).Exec(ctx)
		if err != nil {
			return 0, err
		}
	}
	// begin has added the counts of the version to those of next, where both changes of these units are still counted.
	return int64(len(units)), versionCounter{tx.DB}.uncount(ctx, g.nextID, units)
}

// drop finds units that came in the gap and left in the next version: no other version ever had them.
func (g *gap) drop(ctx context.Context, tx *Tx) (int64, error) {
	units, err := gapUnits(ctx, tx, `SELECT c.pulp_id, c.pulp_type FROM core_repositorycontent AS rc
		JOIN core_content AS c ON c.pulp_id = rc.content_id WHERE rc.repository_id = ?0
		AND rc.version_added > ?1 AND rc.version_added <= ?2 AND `+useAddedIndex("rc")+`
		AND rc.version_removed > ?2 AND rc.version_removed <= ?3 LIMIT ?4`,
		g.repository, g.prev, g.k, g.next, memberBatch)
	if err != nil || len(units) == 0 {
		return 0, err
	}
	_, err = tx.q.NewRaw(`DELETE FROM core_repositorycontent WHERE repository_id = ?0 AND content_id IN (?4)
		AND version_added > ?1 AND version_added <= ?2 AND version_removed > ?2 AND version_removed <= ?3`,
		g.repository, g.prev, g.k, g.next, bun.List(ids(units))).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return int64(len(units)), versionCounter{tx.DB}.uncount(ctx, g.nextID, units)
}

// gapUnit is a unit that concerns a gap.
type gapUnit struct {
	ID   uuid.UUID `bun:"pulp_id"`
	Type string    `bun:"pulp_type"`
}

func gapUnits(ctx context.Context, tx *Tx, query string, args ...any) ([]gapUnit, error) {
	var units []gapUnit
	err := tx.q.NewRaw(query, args...).Scan(ctx, &units)
	if isNoRows(err) {
		err = nil
	}
	return units, err
}

func ids(units []gapUnit) []uuid.UUID {
	list := make([]uuid.UUID, len(units))
	for i, u := range units {
		list[i] = u.ID
	}
	return list
}
