// Package storage keeps the bytes that database rows point to: artifacts, addressed by their sha256, and temporary
// files, addressed by a UUID.
//
// A [Store] hashes bytes once, while they are written, and compares them with the expected digests and size before they
// appear under their key. A key therefore has either no object or the complete, verified bytes, also after a failed
// check, a cut connection, a canceled context, a full disk, a killed process.
//
// [Open] takes a URL. A folder (file:///var/lib/pulp/media, or a plain path) is written by this package itself,
// because the bytes have to survive a power cut. Everything else is a gocloud.dev bucket; only mem:// is built in, the
// drivers of S3, GCS and Azure are imported by the host. Package storage/s3storage is the host's import for S3.
//
// # Layout
//
//	artifact/<2 hex>/<62 hex>   artifacts, by sha256
//	tmp/<uuid>                  temporary files; a row points to each
//	spool/<uuid>                bytes on their way to one of the above; see [Store.Sweep]
//
// # Errors
//
// Every error is of one of these kinds: NotFound; Invalid (a malformed key, or bytes that differ from the expectation,
// as [hashlib.SizeMismatchError] or [hashlib.DigestMismatchError]); Unsupported; Canceled; Unavailable (everything the
// backend is to blame for: no answer, no permission, a full disk), with the cause wrapped.
package storage

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Store holds artifacts and temporary files. Make one with [Open] or [New]. It is safe for concurrent use, also by
// many processes on the same folder or bucket.
type Store struct {
	*shared
	keys keyspace
	view bool
}

// shared is what all views of a store have in common.
type shared struct {
	backend   backend
	checksums *hashlib.Checksums
	spool     spool
	log       *slog.Logger
	buffers   sync.Pool
	canSign   func() bool
	release   func() error
}

// Options refine [Open] and [New]. A nil *Options and the zero value of each field are the defaults.
type Options struct {
	// Checksums are computed of everything written. Default hashlib.Default().
	Checksums *hashlib.Checksums

	// Prefix is put before every key, for installations that share a folder or bucket: "team/pulp".
	Prefix string

	// Log receives faults for which no operation fails, such as a spool file that could not be removed. Default: none.
	Log *slog.Logger

	// Mux opens URLs other than folders and mem://. Default blob.DefaultURLMux().
	Mux *blob.URLMux

	// BeforeSign sets in the driver's request the headers of the answer to a signed URL. [Store.SignedURL] needs it for
	// SignOptions.Filename and ContentType. Package s3storage has the one for S3.
	BeforeSign func(as func(any) bool, o SignOptions) error

	// Relaxed leaves out fsync on a local folder. Bytes may then be lost in a power cut though Commit succeeded:
	// for tests and for caches.
	Relaxed bool

	// Intercept is called before every operation on the backend, with the full key or "" as long as an artifact's is
	// not known; an error fails the operation as if the backend had. Use it to trace, to limit or to refuse; the tests
	// inject faults with it. It must be safe for concurrent use.
	Intercept func(ctx context.Context, op Op, key string) error
}

// New returns a Store on bucket, which it closes with itself. For a local folder use [Open]: gocloud's fileblob
// neither syncs what it writes nor keeps its temporary files beside the target.
//
// Errors: Invalid for a malformed prefix.
func New(bucket *blob.Bucket, opts *Options) (*Store, error) {
	o := opts.orDefault()
	return newStore(newBucketBackend(bucket, o), o)
}

func newStore(b backend, o Options) (*Store, error) {
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	sh := &shared{
		backend:   b,
		checksums: o.Checksums,
		// One spool for all views, so that one Sweep finds the files of each of them.
		spool:   spool{backend: b, folder: path.Join(o.Prefix, spoolFolder)},
		log:     o.Log,
		buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }},
		// A backend is closed once, and Close may be called more than once.
		release: sync.OnceValue(b.close),
	}
	sh.canSign = sync.OnceValue(func() bool { return probeSigning(b) })
	return &Store{shared: sh, keys: keyspace{prefix: o.Prefix}}, nil
}

func (o *Options) orDefault() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Checksums == nil {
		d.Checksums = hashlib.Default()
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Mux == nil {
		d.Mux = blob.DefaultURLMux()
	}
	if d.Intercept == nil {
		d.Intercept = func(context.Context, Op, string) error { return nil }
	}
	return d
}

// InPrefix returns a view of s in which every key starts with prefix, such as a domain's. Keys that the view takes and
// returns are without it. Views share the backend: closing a view has no effect.
//
// A malformed prefix makes every method of the view fail with Invalid.
func (s *Store) InPrefix(prefix string) *Store {
	// A view of a view with a malformed prefix must stay unusable, or its keys would lie outside of that prefix.
	fault := s.keys.fault
	if fault == nil {
		fault = checkPrefix(prefix)
	}
	return &Store{shared: s.shared, keys: keyspace{path.Join(s.keys.prefix, prefix), fault}, view: true}
}

// Checksums returns the checksums that the store computes of everything written.
func (s *Store) Checksums() *hashlib.Checksums { return s.checksums }

// Close releases the backend. Readers and writers must be closed before. It is idempotent, and has no effect on a view.
func (s *Store) Close() error {
	if s.view {
		return nil
	}
	return s.release()
}

// CanSign reports whether SignedURL works, so that clients can be redirected to the bytes.
func (s *Store) CanSign() bool { return s.canSign() }

// Usage returns how full the storage is.
//
// Errors: Unsupported if it has no limit, as a bucket, or the system does not report it; Unavailable.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	b, ok := s.backend.(interface {
		usage(ctx context.Context) (Usage, error)
	})
	if !ok {
		return Usage{}, fmt.Errorf("storage: usage: %w", pulperr.Unsupported)
	}
	u, err := b.usage(ctx)
	return u, wrap(ctx, "usage", "", err)
}

// Sweep removes files that killed writers have left in the spool folder and that were last written more than olderThan
// ago. It returns how many it removed. It serves the store and all its views, and lists only the spool.
// Choose olderThan longer than any write may pause: a day is safe. Parts of S3 uploads that were never completed are
// not objects; let a lifecycle rule of the bucket end them.
//
// Errors: Unavailable, after all files that could be removed were removed.
func (s *Store) Sweep(ctx context.Context, olderThan time.Duration) (int, error) {
	return s.spool.sweep(ctx, time.Now().Add(-olderThan))
}

// Check writes a small file, reads it and removes it.
//
// Errors: Unavailable.
func (s *Store) Check(ctx context.Context) error {
	if s.keys.fault != nil {
		return s.keys.fault
	}
	return s.spool.check(ctx)
}

// bufferSize is the chunk in which bytes are moved, in bytes.
const bufferSize = 128 << 10

// cleanupTime bounds the removal of the bytes of an interrupted write.
const cleanupTime = 30 * time.Second

func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	// The cancellation of ctx is often the reason for the cleanup, so it must not end it.
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}
