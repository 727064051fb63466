package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/storage"
)

// StraySweep finds and removes objects of the store that no row of the database points to. A process that died, or
// failed, between storing bytes and saving their row has left them. It is safe while other processes store and save.
//
// The store must belong to one database alone: objects of another one's rows have no row here. Two databases share a
// bucket with a prefix each ([storage.Options]).
type StraySweep struct {
	DB    *DB
	Store *storage.Store

	// Before is how old an object must be: it was written before that time. Objects from before the database was made
	// are never touched.
	Before time.Time

	// Part and Of divide the work: of Of parts, which together are all of the store, sweep number Part (from 0). An
	// Of of 0 means everything at once.
	Part, Of int
}

// artifactFolders is how many folders artifacts are spread over: by the first two hex digits of their sha256.
const artifactFolders = 256

// Run sweeps and returns how many objects were removed. It lists a folder at a time and keeps at most 500 names.
//
// Errors: Unavailable.
func (s StraySweep) Run(ctx context.Context) (int, error) {
	if s.Of <= 0 {
		s.Part, s.Of = 0, 1
	}
	made, err := s.made(ctx)
	if err != nil {
		return 0, err
	}
	w := &strayWalk{StraySweep: s, remover: newByteRemover(s.DB, s.Store), made: made}
	n, err := w.remover.finish(ctx)
	for i := s.Part * artifactFolders / s.Of; i < (s.Part+1)*artifactFolders/s.Of && err == nil; i++ {
		err = w.walk(ctx, fmt.Sprintf("artifact/%02x", i), w.artifacts)
	}
	// tmp is one flat folder, which cannot be divided like artifacts.
	if s.Part == 0 && err == nil {
		err = w.walk(ctx, "tmp", w.temporary)
	}
	return n + w.removed, err
}

// RemoveStray removes the bytes of artifacts at once if no row needs them, whatever their age, and returns how many it
// removed: for a program that stored bytes and then failed. Another program that is about to save the same artifacts
// gets a [BytesGoneError].
//
// Errors: Unavailable; [StraySweep] removes the bytes that are left.
func RemoveStray(ctx context.Context, db *DB, store *storage.Store, sha256s []string) (int, error) {
	r, n := newByteRemover(db, store), 0
	// Postgres refuses to write the note of one digest twice in a statement.
	distinct := slices.Compact(slices.Sorted(slices.Values(sha256s)))
	for chunk := range slices.Chunk(distinct, batchSize) {
		removed, err := r.removeStray(ctx, chunk)
		n += removed
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// made returns when the database was made, less a minute. A store that is older holds what other databases stored.
func (s StraySweep) made(ctx context.Context) (time.Time, error) {
	var made time.Time
	err := s.DB.q.NewSelect().Model((*Domain)(nil)).Column("pulp_created").OrderExpr("pulp_created").Limit(1).
		Scan(ctx, &made)
	// The times of objects come from the store's clock, that of the domain from this library's host. They may differ.
	return made.Add(-time.Minute), rowError(err, "domain", "oldest")
}

// finish removes the bytes that dead processes noted and did not remove, and deletes tombstones older than
// doomedMemory.
func (r *byteRemover) finish(ctx context.Context) (int, error) {
	_, err := r.db.Bun().NewDelete().Model((*doomedArtifact)(nil)).Where("removed_at < ?", Now().Add(-doomedMemory)).
		Exec(ctx)
	if err != nil {
		return 0, rowError(err, "doomed artifact", "forget")
	}
	n, last := 0, ""
	for {
		var noted []string
		// Each page starts after the last key: a note that another process works on would otherwise be listed without end.
		err := r.db.Bun().NewSelect().Model((*doomedArtifact)(nil)).Column("sha256").Where("removed_at IS NULL").
			Where("sha256 > ?", last).OrderExpr("sha256").Limit(batchSize).Scan(ctx, &noted)
		if err != nil || len(noted) == 0 {
			return n, rowError(err, "doomed artifact", "list")
		}
		removed, err := r.removeDoomed(ctx, noted)
		n += removed
		if err != nil {
			return n, err
		}
		last = noted[len(noted)-1]
	}
}

// strayWalk is one run of a sweep.
type strayWalk struct {
	StraySweep
	remover *byteRemover
	made    time.Time
	removed int
}

// walk calls look with the names of old objects below a folder, a page at a time.
func (w *strayWalk) walk(ctx context.Context, dir string, look func(ctx context.Context, keys []string) error) error {
	var page []string
	for a, err := range w.Store.List(ctx, dir) {
		if err != nil {
			return fmt.Errorf("models: sweep: %w", err)
		}
		// The row of a young object may be saved later. An object that is older than the database belongs to another one.
		if !a.ModTime.Before(w.Before) || a.ModTime.Before(w.made) {
			continue
		}
		if page = append(page, a.Key); len(page) == batchSize {
			if err := look(ctx, page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	if len(page) == 0 {
		return nil
	}
	return look(ctx, page)
}

func (w *strayWalk) artifacts(ctx context.Context, keys []string) error {
	var list []string
	for _, k := range keys {
		sha256 := strings.ReplaceAll(strings.TrimPrefix(k, "artifact/"), "/", "")
		// Objects with other names were not put there by this library.
		if storage.ArtifactKey(sha256) == k {
			list = append(list, sha256)
		}
	}
	if list == nil {
		return nil
	}
	n, err := w.remover.removeStray(ctx, list)
	w.removed += n
	return err
}

func (w *strayWalk) temporary(ctx context.Context, keys []string) error {
	byKey := map[string]uuid.UUID{}
	for _, k := range keys {
		id, err := uuid.Parse(strings.TrimPrefix(k, "tmp/"))
		// Parse accepts several forms of a UUID, and the store has only keys of one.
		if err == nil && storage.TempKey(id) == k {
			byKey[k] = id
		}
	}
	if len(byKey) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(byKey))
	for _, id := range byKey {
		ids = append(ids, id)
	}
	var known []uuid.UUID
	// The domain is no condition, because all domains share the store.
	err := w.DB.q.NewSelect().Model((*TemporaryFile)(nil)).Column("pulp_id").Where("pulp_id IN (?)", bun.List(ids)).
		Scan(ctx, &known)
	if err != nil {
		return rowError(err, "temporary file", "sweep")
	}
	var faults []error
	for k, id := range byKey {
		if slices.Contains(known, id) {
			continue
		}
		if err := w.Store.Delete(ctx, k); err != nil {
			faults = append(faults, err)
			continue
		}
		w.removed++
	}
	return errors.Join(faults...)
}
