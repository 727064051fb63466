package models

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// memberBatch is how many units go into one transaction of a version.
const memberBatch = 1000

// memberWriter changes the memberships of a version that is being built, in short transactions under its lease. It is
// safe for concurrent use.
type memberWriter struct {
	leasedVersion
	seen   atomic.Bool  // core_versionseen has rows of the version
	life   sync.RWMutex // held for reading by every batch
	ended  bool
	writes atomic.Int64 // units in all batches so far
}

// add makes units members and returns how many were not.
func (w *memberWriter) add(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
	// A unit that was removed in this version gets its old membership back: a second row would count as a change.
	back, err := affected(tx.q.NewRaw(`UPDATE core_repositorycontent SET version_removed = NULL
		WHERE repository_id = ? AND `+unindexed("version_removed")+` = ? AND content_id IN (?)`,
		w.row.RepositoryID, w.row.Number, bun.List(ids)).Exec(ctx))
	if err != nil {
		return 0, err
	}
	// unindexed: without statistics the planner takes the domain for selective, and reads all of its units for each batch.
	fresh, err := affected(tx.q.NewRaw(`INSERT INTO core_repositorycontent (repository_id, content_id, version_added)
		SELECT ?0, c.pulp_id, ?1 FROM core_content AS c
		WHERE c.pulp_id IN (?2) AND `+unindexed("c.pulp_domain_id")+` = ?3
		AND NOT EXISTS (SELECT 1 FROM core_repositorycontent AS rc WHERE rc.repository_id = ?0
			AND rc.content_id = c.pulp_id AND rc.version_removed IS NULL) ORDER BY c.pulp_id`,
		w.row.RepositoryID, w.row.Number, bun.List(ids), tx.domain.ID).Exec(ctx))
	if err != nil {
		return 0, err
	}
	// Fewer rows are usual, for units that are members already. Only then can a unit be missing.
	if back+fresh < int64(len(ids)) {
		if err := checkContentExists(ctx, tx, ids); err != nil {
			return 0, err
		}
	}
	return back + fresh, nil
}

// checkContentExists fails unless all units are in the handle's domain.
func checkContentExists(ctx context.Context, tx *Tx, ids []uuid.UUID) error {
	var found []uuid.UUID
	err := tx.q.NewSelect().TableExpr("core_content").Column("pulp_id").Where("pulp_id IN (?)", bun.List(ids)).
		Where(unindexed("pulp_domain_id")+" = ?", tx.domain.ID).Scan(ctx, &found)
	if err != nil {
		return err
	}
	if missing := without(ids, found); len(missing) > 0 {
		return pulperr.Public(pulperr.Invalid, "the domain has no content unit %s (%d of the given units are missing)",
			missing[0], len(missing))
	}
	return nil
}

// takeOut takes units out and returns how many were members.
func (w *memberWriter) takeOut(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
	// The membership of a unit that was added in this version disappears; that of an older one ends.
	// The DELETE goes before the UPDATE, which would end new memberships in the version in which they begin. A CHECK of
	// the table refuses that.
	fresh, err := affected(tx.q.NewRaw(`DELETE FROM core_repositorycontent
		WHERE repository_id = ? AND `+unindexed("version_added")+` = ? AND content_id IN (?)`,
		w.row.RepositoryID, w.row.Number, bun.List(ids)).Exec(ctx))
	if err != nil {
		return 0, err
	}
	old, err := affected(tx.q.NewRaw(`UPDATE core_repositorycontent SET version_removed = ?
		WHERE repository_id = ? AND version_removed IS NULL AND content_id IN (?)`,
		w.row.Number, w.row.RepositoryID, bun.List(ids)).Exec(ctx))
	return fresh + old, err
}

// markSeen notes that a mirrored source has units, and returns how many were not noted yet.
func (w *memberWriter) markSeen(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error) {
	type seen struct {
		VersionID uuid.UUID `bun:"version_id"`
		ContentID uuid.UUID `bun:"content_id"`
	}
	rows := make([]seen, len(ids))
	for i, id := range ids {
		rows[i] = seen{w.row.ID, id}
	}
	// Set before the commit: if its answer is lost, the rows may be there and have to be removed.
	w.seen.Store(true)
	return affected(tx.q.NewInsert().Model(&rows).ModelTableExpr("core_versionseen").
		On("CONFLICT DO NOTHING").Exec(ctx))
}

// inBatches runs fn over the ids, in key order and without duplicates, one transaction per batch.
func (w *memberWriter) inBatches(ctx context.Context, ids []uuid.UUID,
	fn func(ctx context.Context, tx *Tx, ids []uuid.UUID) (int64, error),
) (total int64, err error) {
	// The slice is the caller's, and sorting would change it.
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for batch := range slices.Chunk(slices.Compact(ids), memberBatch) {
		n, err := w.batch(ctx, func(ctx context.Context, tx *Tx) (int64, error) { return fn(ctx, tx, batch) })
		if err != nil {
			return total, fmt.Errorf("models: version %d of repository %s: %w", w.row.Number, w.row.RepositoryID, err)
		}
		total += n
		if err := w.analyze(ctx, int64(len(batch))); err != nil {
			return total, err
		}
	}
	return total, nil
}

// batch runs fn in a leased transaction, unless the version has ended.
func (w *memberWriter) batch(ctx context.Context, fn func(ctx context.Context, tx *Tx) (int64, error)) (
	n int64, err error,
) {
	// The lock is held until the commit, so that end waits for the batch. Otherwise complete could count members while
	// they change.
	w.life.RLock()
	defer w.life.RUnlock()
	if w.ended {
		return 0, pulperr.Coded("PLP0006", pulperr.Conflict, "repository version %d has ended and cannot be changed",
			w.row.Number)
	}
	err = w.tx(ctx, func(ctx context.Context, tx *Tx) (err error) {
		n, err = fn(ctx, tx)
		return err
	})
	return n, err
}

// end waits for the batch that is being written, if there is one, and lets all later ones fail.
func (w *memberWriter) end() {
	w.life.Lock()
	defer w.life.Unlock()
	w.ended = true
}

// analyze updates the planner's statistics whenever the version has become ten times as large.
func (w *memberWriter) analyze(ctx context.Context, written int64) error {
	// Postgres renews statistics minutes after a bulk write. Until then it takes a repository for selective and reads
	// whole tables for each batch. At steps of ten, even a large version needs a few analyses only.
	n := w.writes.Add(written)
	for limit := int64(10 * memberBatch); limit <= n; limit *= 10 {
		if n-written < limit {
			return sqldialect.Analyze(ctx, w.db.Conn().Kind, w.db.q,
				"core_repositorycontent", "core_content", "core_versionseen")
		}
	}
	return nil
}
