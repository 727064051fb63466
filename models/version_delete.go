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
// removed by the next one, or is undone if it was the latest. Its publications go with it, its number is not used
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
	return db.deleteVersion(ctx, v)
}

// deleteVersion makes the version invisible, which is what counts, and then takes its memberships apart in batches.
// If the process dies in between, the next change of the repository goes on.
func (db *DB) deleteVersion(ctx context.Context, v *RepositoryVersion) error {
	l, err := db.beginDelete(ctx, v)
	if err == nil {
		err = db.endIncomplete(ctx, l, v)
	}
	if err != nil {
		return fmt.Errorf("models: delete version %d of repository %s: %w", v.Number, v.RepositoryID, err)
	}
	return nil
}

// beginDelete hides a version, folds its counts into those of the next one, and leases what is left of it.
func (db *DB) beginDelete(ctx context.Context, v *RepositoryVersion) (l lease, err error) {
	err = db.withRepository(ctx, v.RepositoryID, func(ctx context.Context, tx *Tx, _ lockedRepository) error {
		if err := tx.checkDeletable(ctx, v); err != nil {
			return err
		}
		latest, err := tx.latestNumber(ctx, v.RepositoryID)
		if err != nil {
			return err
		}
		if v.Number < latest {
			if err := tx.foldCounts(ctx, v); err != nil {
				return err
			}
		}
		if err := tx.hideVersions(ctx, []uuid.UUID{v.ID}); err != nil {
			return err
		}
		l, err = tx.leaseVersions(ctx, v.RepositoryID)
		return err
	})
	return l, err
}

// checkDeletable fails unless v is still complete, not the only version, and not being distributed.
func (tx *Tx) checkDeletable(ctx context.Context, v *RepositoryVersion) error {
	if _, err := VersionByID(ctx, tx.DB, v.ID); err != nil {
		return err
	}
	others, err := tx.versions((*RepositoryVersion)(nil)).Where("rv.repository_id = ?", v.RepositoryID).
		Where("rv.pulp_id <> ?", v.ID).Exists(ctx)
	if err != nil {
		return rowError(err, "versions of repository", v.RepositoryID.String())
	}
	if !others {
		return pulperr.Coded("PLP0011", pulperr.Invalid, "Cannot delete repository version. "+
			"Repositories must have at least one repository version.")
	}
	protected, err := tx.isProtected(ctx, v)
	if err != nil {
		return err
	}
	if protected {
		return pulperr.Public(pulperr.Invalid,
			"version %d is being distributed; point its distributions elsewhere first", v.Number)
	}
	return nil
}

// gap is where a version that is being deleted was: above the number prev, up to number k, and before next. Since
// memberships hold numbers and not versions, those that began or ended in the gap are right for every other version as
// they are: they count as changes of next. Only two kinds concern nobody any more.
type gap struct {
	repository    uuid.UUID
	prev, k, next int
	nextID        uuid.UUID
}

// squashVersion removes what nobody sees once the incomplete version v, which is not the latest, is gone.
func (db *DB) squashVersion(ctx context.Context, l lease, v *RepositoryVersion) error {
	g, err := db.gapOf(ctx, v)
	if err != nil {
		return err
	}
	for _, step := range []func(ctx context.Context, tx *Tx) (int64, error){g.merge, g.drop} {
		err := db.leasedBatches(ctx, l, v.ID, memberBatch, step)
		if err != nil {
			return err
		}
	}
	return db.removeVersionRow(ctx, l, v, nil)
}

func (db *DB) gapOf(ctx context.Context, v *RepositoryVersion) (*gap, error) {
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
	units, err := gapUnits(ctx, tx, `SELECT c.pulp_id, c.pulp_type FROM core_repositorycontent AS old
		JOIN core_repositorycontent AS young ON young.repository_id = old.repository_id
			AND young.content_id = old.content_id AND young.version_added > ?2 AND young.version_added <= ?3
		JOIN core_content AS c ON c.pulp_id = old.content_id
		WHERE old.repository_id = ?0 AND old.version_removed > ?1 AND old.version_removed <= ?2 LIMIT ?4`,
		g.repository, g.prev, g.k, g.next, memberBatch)
	if err != nil || len(units) == 0 {
		return 0, err
	}
	// The younger rows go first, so that no key is taken twice; what they ended with is remembered in Go.
	var young []RepositoryContent
	err = tx.q.NewRaw(`DELETE FROM core_repositorycontent WHERE repository_id = ? AND version_added > ?
		AND version_added <= ? AND content_id IN (?) RETURNING content_id, version_removed`,
		g.repository, g.k, g.next, bun.List(ids(units))).Scan(ctx, &young)
	if err != nil {
		return 0, err
	}
	byEnd := map[int][]uuid.UUID{}
	for _, y := range young {
		end := 0 // goes on
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
	return int64(len(units)), tx.uncount(ctx, g.nextID, units)
}

// drop finds units that came in the gap and left in the next version: no other version ever had them.
func (g *gap) drop(ctx context.Context, tx *Tx) (int64, error) {
	units, err := gapUnits(ctx, tx, `SELECT c.pulp_id, c.pulp_type FROM core_repositorycontent AS rc
		JOIN core_content AS c ON c.pulp_id = rc.content_id WHERE rc.repository_id = ?0
		AND rc.version_added > ?1 AND rc.version_added <= ?2 AND rc.version_added >= 0
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
	return int64(len(units)), tx.uncount(ctx, g.nextID, units)
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
