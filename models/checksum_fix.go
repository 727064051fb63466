package models

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// ChecksumFixOptions are the parts of [FixChecksums] that have defaults.
type ChecksumFixOptions struct {
	// Progress is called after each batch, from the goroutine of the caller. Default: none.
	Progress func(ChecksumProgress)
	// Broken is called for each artifact whose bytes are missing or wrong, from the goroutine of the caller: err is of the
	// kind NotFound, or a [hashlib.DigestMismatchError] or [hashlib.SizeMismatchError]. Default: none.
	Broken func(a *Artifact, err error)
	// Batch is the number of artifacts that one transaction writes, at most. Default 500.
	Batch int
}

// ChecksumProgress is how far [FixChecksums] has come in this call. Artifacts that an earlier call has mended do not
// count.
type ChecksumProgress struct {
	Done, Total           int64 // artifacts; the total is that of the start
	DoneBytes, TotalBytes int64 // read from the store, in bytes
	Filled                int64 // artifacts that got digests
	Cleared               int64 // artifacts that lost forbidden digests and needed no others
	Broken                int64 // artifacts whose bytes are missing or wrong
}

// fixBytes is the number of bytes that are read for one transaction, unless one artifact alone has more: a process that
// is killed loses what it computed for the artifacts of one batch.
const fixBytes = 1 << 30

// FixChecksums gives all artifacts, of all domains, the digests that [DB.Checksums] allows, and removes all others. It
// reads the bytes of an artifact that lacks a digest once, compares them with its size and sha256, and computes the
// digests of all allowed algorithms from them. An artifact that only has a digest too many is not read. At a time it
// reads as many artifacts as there are cores.
//
// It works in short transactions beside running servers, and may be stopped, even killed, and called again: then it
// goes on with the artifacts that are left. Servers that run with another list save artifacts that need another call.
// An artifact whose bytes are missing or wrong is left as it is. Mirrors Pulp's handle-artifact-checksums, which
// removes the files of such artifacts.
//
// Errors: Conflict at the end if the bytes of artifacts were missing or wrong; Invalid if store computes other
// checksums than db allows; Unavailable. The progress returned is valid with any error.
func FixChecksums(ctx context.Context, db *DB, store *storage.Store, opts *ChecksumFixOptions,
) (ChecksumProgress, error) {
	f := &checksumFixer{db: db, store: store}
	if opts != nil {
		f.opts = *opts
	}
	if f.opts.Batch <= 0 {
		f.opts.Batch = batchSize
	}
	if !slices.Equal(store.Checksums().List(), db.checksums.List()) {
		return f.done, pulperr.Public(pulperr.Invalid, "the store computes the checksums %v and the database allows %v; open"+
			" both with the same ALLOWED_CONTENT_CHECKSUMS", store.Checksums().List(), db.checksums.List())
	}
	report, err := reportArtifacts(ctx, db)
	if err != nil {
		return f.done, err
	}
	f.done.TotalBytes = report.LackingBytes
	if f.done.Total, err = f.count(ctx); err != nil {
		return f.done, err
	}
	for last, more := uuid.Nil, true; more && err == nil; {
		last, more, err = f.batch(ctx, last)
	}
	if err == nil && f.done.Broken > 0 {
		err = pulperr.Public(pulperr.Conflict, "the bytes of %d artifacts are missing or wrong, so they keep the digests"+
			" that they have; the first: %s. Put the bytes back into the store and run this again, or delete the content and "+
			"the artifacts with the list of before", f.done.Broken, f.firstBroken)
	}
	return f.done, err
}

// checksumFixer is one call of FixChecksums.
type checksumFixer struct {
	db          *DB
	store       *storage.Store
	opts        ChecksumFixOptions
	done        ChecksumProgress
	firstBroken string
}

// fixable is an artifact that does not agree with the allowed checksums.
type fixable struct {
	*Artifact
	read   bool            // it lacks digests
	wanted hashlib.Digests // what it gets
	broken error           // why it cannot get them
}

// count returns how many artifacts are to be mended.
func (f *checksumFixer) count(ctx context.Context) (int64, error) {
	p := checksumPolicy{f.db}
	n, err := f.db.Bun().NewSelect().Model((*Artifact)(nil)).Where("(? OR ?)", p.lacking(), p.forbidden()).Count(ctx)
	return int64(n), rowError(err, "artifact", "digests")
}

// batch mends the artifacts of one batch, those after last.
func (f *checksumFixer) batch(ctx context.Context, last uuid.UUID) (next uuid.UUID, more bool, err error) {
	list, err := f.page(ctx, last)
	if err != nil || len(list) == 0 {
		return last, false, err
	}
	if err := f.digest(ctx, list); err != nil {
		return last, false, err
	}
	sound := slices.DeleteFunc(slices.Clone(list), func(a *fixable) bool { return a.broken != nil })
	if err := f.write(ctx, sound); err != nil {
		return last, false, err
	}
	if err := f.note(ctx, list); err != nil {
		return last, false, err
	}
	return list[len(list)-1].ID, true, nil
}

// page returns the next artifacts in key order: of those that cannot be mended, each is met once.
func (f *checksumFixer) page(ctx context.Context, last uuid.UUID) ([]*fixable, error) {
	p := checksumPolicy{f.db}
	var rows []*Artifact
	err := f.db.Bun().NewSelect().Model(&rows).Where("a.pulp_id > ?", last).Where("(? OR ?)", p.lacking(), p.forbidden()).
		OrderExpr("a.pulp_id").Limit(int64(f.opts.Batch)).Scan(ctx)
	if err != nil {
		return nil, rowError(err, "artifact", "digests")
	}
	var list []*fixable
	var bytes int64
	for _, row := range rows {
		a := &fixable{Artifact: row, wanted: f.db.Checksums().Filter(row.Digests)}
		for _, alg := range f.db.Checksums().List() {
			a.read = a.read || row.Get(alg) == ""
		}
		if a.read {
			bytes += row.Size
		}
		if list != nil && bytes > fixBytes {
			break
		}
		list = append(list, a)
	}
	return list, nil
}

// digest computes the digests of artifacts that lack some.
//
// Errors: Unavailable if the store did not answer: that says nothing about an artifact.
func (f *checksumFixer) digest(ctx context.Context, list []*fixable) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, a := range list {
		if !a.read {
			continue
		}
		group.Go(func() error {
			object, err := f.store.Digest(ctx, a.Key())
			switch {
			case errors.Is(err, pulperr.NotFound):
				a.broken = err
				return nil
			case err != nil:
				return fmt.Errorf("models: artifact %s: %w", a.ID, err)
			}
			// The other digests of the row are no proof: they are about to be written anew.
			expect := &hashlib.Expect{Digests: hashlib.SHA256Hex(a.SHA256), Size: hashlib.Size(a.Size)}
			a.broken, a.wanted = expect.Check(object.Digests, object.Size), object.Digests
			return nil
		})
	}
	return group.Wait()
}

// write saves digests. An artifact that was deleted meanwhile is none to save.
func (f *checksumFixer) write(ctx context.Context, list []*fixable) error {
	columns := []string{"pulp_last_updated"}
	for _, a := range hashlib.Known() {
		columns = append(columns, string(a))
	}
	return f.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, a := range list {
			row := *a.Artifact
			row.Updated, row.Digests = Now(), a.wanted
			_, err := tx.q.NewUpdate().Model(&row).Column(columns...).Where("a.pulp_id = ?", a.ID).
				Where("a.sha256 = ?", a.SHA256).Exec(ctx)
			if err != nil {
				return rowError(err, "artifact", a.ID.String())
			}
		}
		return nil
	})
}

// note counts what was done, and reports it.
func (f *checksumFixer) note(ctx context.Context, list []*fixable) error {
	for _, a := range list {
		f.done.Done++
		if a.read {
			f.done.DoneBytes += a.Size
		}
		switch {
		case a.broken != nil:
			there, err := f.db.Bun().NewSelect().Model((*Artifact)(nil)).Where("a.pulp_id = ?", a.ID).Exists(ctx)
			if err != nil {
				return rowError(err, "artifact", a.ID.String())
			}
			// An artifact that was deleted meanwhile has lost its bytes rightly.
			if there {
				f.breaks(a)
			}
		case a.read:
			f.done.Filled++
		default:
			f.done.Cleared++
		}
	}
	if f.opts.Progress != nil {
		f.opts.Progress(f.done)
	}
	return nil
}

func (f *checksumFixer) breaks(a *fixable) {
	if f.done.Broken++; f.done.Broken == 1 {
		f.firstBroken = fmt.Sprintf("%s (%s)", a.Key(), pulperr.Message(a.broken))
	}
	if f.opts.Broken != nil {
		f.opts.Broken(a.Artifact, a.broken)
	}
}
