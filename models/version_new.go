package models

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// NewVersion is a repository version that is being built, see [CreateVersion]. It starts with the content of the
// repository's latest version, or of the base that the options name. Its methods are safe for concurrent use and fail
// with Conflict (PLP0006) once the closure has returned.
type NewVersion struct {
	db     *DB
	repo   AnyRepository
	schema *schema
	row    *RepositoryVersion
	base   *RepositoryVersion
	lease  lease
	hidden bool
	seen   atomic.Bool  // something is in core_versionseen
	life   sync.RWMutex // held for reading by every batch
	ended  bool
	writes atomic.Int64 // units in all batches so far
}

// memberBatch is how many units go into one transaction of a version.
//
// Its statements look units up by key. Where they also compare a column that a planner without statistics takes for
// more selective, the column is wrapped in COALESCE, so that no index on it can be chosen: it would be read to its end
// for every batch.
const memberBatch = 1000

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
// Errors: Invalid if one is not in the domain; nothing of its batch of 1,000 is added then. Whether the repository
// accepts a unit's type is checked when the version is completed.
func (v *NewVersion) Add(ctx context.Context, ids []uuid.UUID) (added int64, err error) {
	return v.inBatches(ctx, ids, v.add)
}

func (v *NewVersion) add(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
	back, err := affected(tx.q.NewRaw(`UPDATE core_repositorycontent SET version_removed = NULL
		WHERE repository_id = ? AND COALESCE(version_removed, -1) = ? AND content_id IN (?)`,
		v.row.RepositoryID, v.row.Number, bun.List(ids)).Exec(ctx))
	if err != nil {
		return 0, err
	}
	fresh, err := affected(tx.q.NewRaw(`INSERT INTO core_repositorycontent (repository_id, content_id, version_added)
		SELECT ?0, c.pulp_id, ?1 FROM core_content AS c
		WHERE c.pulp_id IN (?2) AND COALESCE(c.pulp_domain_id, c.pulp_domain_id) = ?3
		AND NOT EXISTS (SELECT 1 FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0
			AND rc.content_id = c.pulp_id AND rc.version_removed IS NULL) ORDER BY c.pulp_id`,
		v.row.RepositoryID, v.row.Number, bun.List(ids), tx.domain.ID).Exec(ctx))
	if err != nil {
		return 0, err
	}
	if back+fresh < int64(len(ids)) {
		if err := tx.checkContentExists(ctx, ids); err != nil {
			return 0, err
		}
	}
	return back + fresh, nil
}

// checkContentExists fails unless all units are in the handle's domain.
func (tx *Tx) checkContentExists(ctx context.Context, ids []uuid.UUID) error {
	var found []uuid.UUID
	err := tx.q.NewSelect().TableExpr("core_content").Column("pulp_id").Where("pulp_id IN (?)", bun.List(ids)).
		Where("COALESCE(pulp_domain_id, pulp_domain_id) = ?", tx.domain.ID).Scan(ctx, &found)
	if err != nil {
		return err
	}
	if missing := without(ids, found); len(missing) > 0 {
		return pulperr.Public(pulperr.Invalid, "there is no content unit %s (%d units are missing)",
			missing[0], len(missing))
	}
	return nil
}

// Remove takes content units out. It returns how many were members; the others are passed over.
func (v *NewVersion) Remove(ctx context.Context, ids []uuid.UUID) (removed int64, err error) {
	return v.inBatches(ctx, ids, v.remove)
}

func (v *NewVersion) remove(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
	fresh, err := affected(tx.q.NewRaw(`DELETE FROM core_repositorycontent
		WHERE repository_id = ? AND COALESCE(version_added, -1) = ? AND content_id IN (?)`,
		v.row.RepositoryID, v.row.Number, bun.List(ids)).Exec(ctx))
	if err != nil {
		return 0, err
	}
	old, err := affected(tx.q.NewRaw(`UPDATE core_repositorycontent SET version_removed = ?
		WHERE repository_id = ? AND version_removed IS NULL AND content_id IN (?)`,
		v.row.Number, v.row.RepositoryID, bun.List(ids)).Exec(ctx))
	return fresh + old, err
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
		err := v.db.q.NewSelect().TableExpr("core_repositorycontent").Column("content_id").
			Where("repository_id = ?", v.row.RepositoryID).Where("version_removed IS NULL").
			Where("content_id IN (?)", bun.List(batch)).Scan(ctx, &found)
		if err != nil {
			return nil, rowError(err, "content of repository", v.row.RepositoryID.String())
		}
		missing = append(missing, without(batch, found)...)
	}
	return missing, nil
}

// MarkSeen notes that a mirrored source has these units, be they members or not. The notes are kept in the database,
// so that memory does not grow with the source.
func (v *NewVersion) MarkSeen(ctx context.Context, ids []uuid.UUID) error {
	_, err := v.inBatches(ctx, ids, func(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
		type seen struct {
			VersionID uuid.UUID `bun:"version_id"`
			ContentID uuid.UUID `bun:"content_id"`
		}
		rows := make([]seen, len(ids))
		for i, id := range ids {
			rows[i] = seen{v.row.ID, id}
		}
		v.seen.Store(true)
		return affected(tx.q.NewInsert().Model(&rows).ModelTableExpr("core_versionseen").
			On("CONFLICT DO NOTHING").Exec(ctx))
	})
	return err
}

// RemoveUnseen takes out all units that were not passed to [NewVersion.MarkSeen] since the version was started, and
// returns how many they were. If nothing was seen, everything goes.
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
		var page []uuid.UUID
		err := v.db.q.NewSelect().TableExpr("core_repositorycontent AS rc").Column("rc.content_id").
			Where("rc.repository_id = ?", v.row.RepositoryID).Where("rc.version_removed IS NULL").
			Where("rc.content_id > ?", last).Where(cond, args...).
			OrderExpr("rc.content_id").Limit(memberBatch).Scan(ctx, &page)
		if err != nil {
			return removed, rowError(err, "content of repository", v.row.RepositoryID.String())
		}
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

// inBatches passes over ids, in key order and without doubles, one transaction per batch.
func (v *NewVersion) inBatches(ctx context.Context, ids []uuid.UUID,
	fn func(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error),
) (total int64, err error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for batch := range slices.Chunk(slices.Compact(ids), memberBatch) {
		n, err := v.batch(ctx, func(ctx context.Context, tx *Tx) (int64, error) { return fn(ctx, tx, batch) })
		if err != nil {
			return total, fmt.Errorf("models: version %d of repository %s: %w", v.row.Number, v.row.RepositoryID, err)
		}
		total += n
		if err := v.analyze(ctx, int64(len(batch))); err != nil {
			return total, err
		}
	}
	return total, nil
}

// batch runs fn in a leased transaction, unless the version has ended.
func (v *NewVersion) batch(ctx context.Context, fn func(ctx context.Context, tx *Tx) (int64, error)) (
	n int64, err error,
) {
	v.life.RLock()
	defer v.life.RUnlock()
	if v.ended {
		return 0, pulperr.Coded("PLP0006", pulperr.Conflict, "repository version %d has ended and cannot be changed",
			v.row.Number)
	}
	err = v.db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		err := v.lease.hold(ctx, tx, v.row.ID)
		if err == nil {
			n, err = fn(ctx, tx)
		}
		return err
	})
	return n, err
}

// end waits for the batch that is being written, if there is one, and lets all later ones fail.
func (v *NewVersion) end() {
	v.life.Lock()
	defer v.life.Unlock()
	v.ended = true
}

// analyze lets the planner look at the tables again whenever the version has become ten times as large.
func (v *NewVersion) analyze(ctx context.Context, written int64) error {
	n := v.writes.Add(written)
	for limit := int64(10 * memberBatch); limit <= n; limit *= 10 {
		if n-written < limit {
			return v.db.conn.Kind.Analyze(ctx, v.db.q, "core_repositorycontent", "core_content", "core_versionseen")
		}
	}
	return nil
}

// changed reports whether the version differs from its predecessor.
func (v *NewVersion) changed(ctx context.Context) (bool, error) {
	var yes bool
	err := v.db.q.NewRaw(`SELECT EXISTS (SELECT 1 FROM core_repositorycontent
			WHERE repository_id = ?0 AND version_added = ?1 AND version_added >= 0)
		OR EXISTS (SELECT 1 FROM core_repositorycontent WHERE repository_id = ?0 AND version_removed = ?1)`,
		v.row.RepositoryID, v.row.Number).Scan(ctx, &yes)
	return yes, rowError(err, "content of repository", v.row.RepositoryID.String())
}

// checkTypes fails if a unit was added whose type the repository does not accept.
func (v *NewVersion) checkTypes(ctx context.Context) error {
	var types []string
	err := v.db.q.NewRaw(`SELECT DISTINCT c.pulp_type FROM core_repositorycontent AS rc
		JOIN core_content AS c ON c.pulp_id = rc.content_id WHERE rc.repository_id = ? AND rc.version_added = ?
		AND rc.version_added >= 0`,
		v.row.RepositoryID, v.row.Number).Scan(ctx, &types)
	if err != nil {
		return rowError(err, "content of repository", v.row.RepositoryID.String())
	}
	var bad []string
	for _, t := range types {
		if !slices.ContainsFunc(v.schema.accepts, func(d *definition) bool { return d.name == t }) {
			bad = append(bad, t)
		}
	}
	if bad != nil {
		slices.Sort(bad)
		return pulperr.Public(pulperr.Invalid, "a repository of type %s cannot hold content of type %s",
			v.schema.name, strings.Join(bad, ", "))
	}
	return nil
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

// affected returns how many rows a statement changed.
func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
