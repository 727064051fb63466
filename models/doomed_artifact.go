package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// doomedArtifact is a tombstone: the bytes with a sha256 are to be removed from the store, or were removed within
// doomedMemory. If there is a row of core_artifact as well, the artifact counts and the bytes stay.
type doomedArtifact struct {
	bun.BaseModel `bun:"table:core_doomedartifact,alias:da"`

	SHA256    string     `bun:"sha256,pk"`
	DoomedAt  time.Time  `bun:"doomed_at"`
	RemovedAt *time.Time `bun:"removed_at"` // nil while the bytes may still be there
}

const (
	// doomedMemory is how long the removal of bytes is remembered. It must be longer than the time between storing
	// bytes, or finding them stored, and saving their row.
	doomedMemory = 7 * 24 * time.Hour
	// removeTime bounds the removal of one object. Its row is locked meanwhile.
	removeTime = 30 * time.Second
)

// BytesGoneError means that artifacts cannot be saved because their bytes were removed after they had been stored, or
// had been found in the store. Store the bytes again, then save again. It is of kind Unavailable.
type BytesGoneError struct {
	SHA256 []string // in ascending order, at least one
}

// Error names the artifacts.
func (e *BytesGoneError) Error() string {
	return fmt.Sprintf("models: the bytes of %d artifacts were removed from the store before their rows were saved "+
		"(store them again, then save again): sha256 %s", len(e.SHA256), strings.Join(e.SHA256, ", "))
}

// Unwrap returns pulperr.Unavailable.
func (e *BytesGoneError) Unwrap() error { return pulperr.Unavailable }

// byteRemover removes bytes that no artifact needs, so that no artifact is ever left without bytes:
//
//  1. [doomedNotes.add] notes the sha256 in a transaction, together with the removal of the row if there was one.
//  2. settle waits for all transactions that saved artifacts without seeing the note.
//  3. remove takes the note, checks for an artifact once more and removes the bytes, all in one transaction.
//
// Saving artifacts deletes their notes in the transaction that inserts the rows, and checks for the bytes where there
// was a note ([doomedNotes.revive]). It either comes before 3, which then finds no note, or after 3 and finds no bytes.
// A process that dies leaves a note, and the next sweep removes the bytes.
type byteRemover struct {
	db    *DB // outside a transaction
	store *storage.Store
}

// newByteRemover returns a remover on the pool, whatever transaction db belongs to.
func newByteRemover(db *DB, store *storage.Store) *byteRemover {
	// Each step of the removal commits by itself. A handle that deleteIn passes belongs to a transaction that has ended by
	// then.
	h := *db
	h.q, h.tx = db.conn.Bun, nil
	return &byteRemover{db: &h, store: store}
}

// removeStray removes the bytes of those artifacts that have no row, and returns how many.
func (r *byteRemover) removeStray(ctx context.Context, sha256s []string) (int, error) {
	var stray []string
	err := r.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		wanted, err := doomedNotes{tx.DB}.withRow(ctx, sha256s)
		if err != nil {
			return err
		}
		// Emptied, because the closure runs again after a deadlock.
		stray = nil
		for _, s := range sha256s {
			if !wanted[s] {
				stray = append(stray, s)
			}
		}
		if stray == nil {
			return nil
		}
		return doomedNotes{tx.DB}.add(ctx, stray)
	})
	if err != nil || stray == nil {
		return 0, err
	}
	return r.removeDoomed(ctx, stray)
}

// removeDoomed removes bytes that were noted in a committed transaction. After a failure the sweep removes the rest.
func (r *byteRemover) removeDoomed(ctx context.Context, sha256s []string) (int, error) {
	// A saver that began before the note was committed has not seen it. When it has ended, remove can see its row.
	if err := r.settle(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, s := range sha256s {
		removed, err := r.remove(ctx, s)
		if err != nil {
			return n, err
		}
		if removed {
			n++
		}
	}
	return n, nil
}

func (r *byteRemover) settle(ctx context.Context) error {
	// The transaction has no other statement, because the lock of Barrier stops all writers of the table until it ends.
	err := r.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		return sqldialect.Barrier(ctx, tx.conn.Kind, tx.q, "core_doomedartifact")
	})
	if err != nil {
		return fmt.Errorf("models: wait for savers of artifacts: %w", err)
	}
	return nil
}

// remove removes the bytes of one noted artifact, unless it was saved again.
func (r *byteRemover) remove(ctx context.Context, sha256 string) (removed bool, err error) {
	err = r.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		removed = false
		// The UPDATE locks the note. A saver of the same artifact has to delete the note and waits until the bytes are gone.
		res, err := tx.q.NewUpdate().Model((*doomedArtifact)(nil)).Set("removed_at = ?", Now()).
			Where("sha256 = ?", sha256).Where("removed_at IS NULL").Exec(ctx)
		if err != nil {
			return rowError(err, "doomed artifact", sha256)
		}
		// A saver has deleted the note, or another process has removed the bytes.
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		wanted, err := doomedNotes{tx.DB}.withRow(ctx, []string{sha256})
		if err != nil {
			return err
		}
		if wanted[sha256] {
			_, err := tx.q.NewDelete().Model((*doomedArtifact)(nil)).Where("sha256 = ?", sha256).Exec(ctx)
			return rowError(err, "doomed artifact", sha256)
		}
		// The bytes go before the commit: a saver waits for this row, and finds afterwards that they are gone.
		limited, cancel := context.WithTimeout(ctx, removeTime)
		defer cancel()
		removed = true
		return r.store.Delete(limited, storage.ArtifactKey(sha256))
	})
	return removed && err == nil, err
}

// doomedNotes keeps the notes of bytes that are to be removed.
type doomedNotes struct{ db *DB }

// add notes artifacts whose bytes shall be removed.
func (n doomedNotes) add(ctx context.Context, sha256s []string) error {
	rows := make([]*doomedArtifact, len(sha256s))
	now := Now()
	for i, s := range slices.Sorted(slices.Values(sha256s)) {
		rows[i] = &doomedArtifact{SHA256: s, DoomedAt: now}
	}
	// A note of an earlier removal may be left. It becomes open again.
	_, err := n.db.Bun().NewInsert().Model(&rows).On("CONFLICT (sha256) DO UPDATE").
		Set("doomed_at = EXCLUDED.doomed_at").Set("removed_at = NULL").Exec(ctx)
	return rowError(err, "doomed artifact", "insert")
}

// revive deletes the notes of artifacts that were just saved in this transaction, and checks that the bytes of each
// artifact with a note are in the store.
//
// Errors: [BytesGoneError].
func (n doomedNotes) revive(ctx context.Context, store *storage.Store, rows []*Artifact) error {
	var noted []string
	// The deletion waits for a remover that holds a note, so the store is asked afterwards. Artifacts without a note cost
	// no request to the store.
	_, err := n.db.Bun().NewDelete().Model((*doomedArtifact)(nil)).Where("sha256 IN (?)", bun.List(sha256s(rows))).
		Returning("sha256").Exec(ctx, &noted)
	if err != nil {
		return rowError(err, "doomed artifact", "revive")
	}
	slices.Sort(noted)
	gone := &BytesGoneError{}
	for _, s := range noted {
		there, err := store.Exists(ctx, storage.ArtifactKey(s))
		if err != nil {
			return fmt.Errorf("models: look for the bytes of artifact %s: %w", s, err)
		}
		if !there {
			gone.SHA256 = append(gone.SHA256, s)
		}
	}
	if gone.SHA256 != nil {
		return gone
	}
	return nil
}

// withRow returns which artifacts have a row in any domain: domains share the store.
func (n doomedNotes) withRow(ctx context.Context, sha256s []string) (map[string]bool, error) {
	var found []string
	// The index on sha256 begins with the domain, so all domains are named.
	err := n.db.Bun().NewSelect().TableExpr("core_artifact").Column("sha256").
		Where("pulp_domain_id IN (SELECT pulp_id FROM core_domain)").Where("sha256 IN (?)", bun.List(sha256s)).
		Scan(ctx, &found)
	if err != nil {
		return nil, rowError(err, "artifact", "by sha256")
	}
	wanted := make(map[string]bool, len(found))
	for _, s := range found {
		wanted[s] = true
	}
	return wanted, nil
}
