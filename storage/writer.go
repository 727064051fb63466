package storage

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Object describes a stored object: its key, and the digests and the size computed while writing.
type Object struct {
	Key     string
	Size    int64 // bytes
	Digests hashlib.Digests
}

// Writer receives the bytes of one object. They are not visible under its key before Commit, and Abort removes them.
// Always end with one of the two; Abort after Commit has no effect, so it may be deferred. A Writer is not safe for
// concurrent use, and the context it was made with must live as long as it does.
type Writer struct {
	ctx    context.Context
	store  *Store
	keys   keyspace
	spool  spool
	expect *hashlib.Expect
	temp   string // the key of a temporary file; "" for an artifact
	hash   *hashlib.Writer
	sink   sink // nil if the bytes are stored already and need only be checked, or after a failure
	asked  bool // the backend said that the artifact is not stored
	err    error
	state  writerState
}

type writerState uint8

const (
	writing writerState = iota
	failed              // the sink is gone, Reset may begin anew
	finished
)

// NewArtifactWriter begins to write an artifact and compares its bytes with expect: the size as soon as there are too
// many bytes, everything else in Commit. nil expects no particular bytes. With a sha256 in expect the bytes go
// straight to their key. If the size is known too and the artifact is stored already, the bytes are checked but not
// written.
//
// Errors: Invalid or Unsupported for an expectation that cannot be fulfilled; Unavailable.
func (s *Store) NewArtifactWriter(ctx context.Context, expect *hashlib.Expect) (*Writer, error) {
	return s.newWriter(ctx, "", expect)
}

// NewTempWriter begins to write the temporary file id. It differs from NewArtifactWriter only in the key.
func (s *Store) NewTempWriter(ctx context.Context, id uuid.UUID, expect *hashlib.Expect) (*Writer, error) {
	return s.newWriter(ctx, TempKey(id), expect)
}

func (s *Store) newWriter(ctx context.Context, temp string, expect *hashlib.Expect) (*Writer, error) {
	if err := expect.Validate(s.checksums); err != nil {
		return nil, fmt.Errorf("storage: write: %w", err)
	}
	if expect == nil {
		expect = &hashlib.Expect{}
	}
	w := &Writer{ctx: ctx, store: s, keys: s.keys, spool: s.spool, temp: temp, expect: expect, hash: s.checksums.Writer()}
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// PutArtifact stores the bytes of r as an artifact, like a Writer that is written to and committed. Bytes that are
// stored already are a success.
//
// Errors: Invalid if r does not yield what expect promises; Unavailable, Canceled; an error of r as it is. After an
// error no object is stored.
func (s *Store) PutArtifact(ctx context.Context, r io.Reader, expect *hashlib.Expect) (Object, error) {
	w, err := s.NewArtifactWriter(ctx, expect)
	if err != nil {
		return Object{}, err
	}
	return w.put(r)
}

// PutTemp stores the bytes of r as the temporary file id. Errors: as PutArtifact.
func (s *Store) PutTemp(ctx context.Context, id uuid.UUID, r io.Reader, expect *hashlib.Expect) (Object, error) {
	w, err := s.NewTempWriter(ctx, id, expect)
	if err != nil {
		return Object{}, err
	}
	return w.put(r)
}

func (w *Writer) put(r io.Reader) (Object, error) {
	defer func() { _ = w.Abort() }() // after an error everything is dropped already, and logged if it was not
	if _, err := w.ReadFrom(r); err != nil {
		return Object{}, err
	}
	return w.Commit()
}

// Write adds p.
//
// Errors: hashlib.SizeMismatchError if there are more bytes than promised; Unavailable, Canceled. After an error
// every further Write and Commit fails, until Reset.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if err := context.Cause(w.ctx); err != nil {
		return 0, w.fail(wrapWrite(w.ctx, "write", w.key(), err))
	}
	// Before the bytes are written: a source that sends without end must not fill the disk.
	size := w.hash.Size() + int64(len(p))
	if w.expect.Size != nil && size > *w.expect.Size {
		return 0, w.fail(fmt.Errorf("storage: write %q: %w", w.key(),
			&hashlib.SizeMismatchError{Want: *w.expect.Size, Got: size}))
	}
	if w.sink != nil {
		if _, err := w.sink.Write(p); err != nil {
			return 0, w.fail(wrapWrite(w.ctx, "write", w.key(), err))
		}
	}
	return w.hash.Write(p)
}

// ReadFrom adds everything that r yields. An error of r is returned as it is; the bytes before it are kept, so that
// the rest may follow.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	buf := w.store.buffers.Get().(*[bufferSize]byte)
	defer w.store.buffers.Put(buf)
	var total int64
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		switch {
		case err == io.EOF: // readers return it bare; a wrapped one is another error
			return total, nil
		case err != nil:
			return total, err
		// A reader may return no bytes and no error for ever. Write, which checks the context, is not called then.
		case n == 0:
			if err := context.Cause(w.ctx); err != nil {
				return total, w.fail(wrapWrite(w.ctx, "write", w.key(), err))
			}
		}
	}
}

// Size returns the number of bytes written since the beginning or the last Reset.
func (w *Writer) Size() int64 { return w.hash.Size() }

// Digests returns the digests of the bytes written so far. With it a Writer is a download's sink and hasher in one, so
// that bytes are hashed once.
func (w *Writer) Digests() hashlib.Digests { return w.hash.Digests() }

// Reset forgets everything written and any error, and begins again at byte 0: for a download that starts anew. A
// committed or aborted writer cannot be reset.
func (w *Writer) Reset() error {
	if w.state == finished {
		return errFinished
	}
	if err := w.drop(); err != nil {
		w.store.log.WarnContext(w.ctx, "spooled bytes were left behind", "err", err)
	}
	w.hash.Reset()
	// asked is cleared because the artifact may have been stored or deleted since begin looked.
	w.err, w.state, w.asked = nil, writing, false
	return w.begin()
}

// Commit checks the bytes against the expectation and makes them appear under their key. On a local folder they are
// on the disk when it returns.
//
// Errors: hashlib.SizeMismatchError and hashlib.DigestMismatchError of kind Invalid; Unavailable; Canceled. After an
// error no object is stored, except that the last step may fail after the complete bytes of an artifact are in place.
// Then call Reset or Abort.
func (w *Writer) Commit() (Object, error) {
	if err := w.usable(); err != nil {
		return Object{}, err
	}
	if err := context.Cause(w.ctx); err != nil {
		return Object{}, w.fail(wrapWrite(w.ctx, "commit", w.key(), err))
	}
	o := Object{Size: w.hash.Size(), Digests: w.hash.Digests()}
	o.Key = w.keyFor(o.Digests)
	// Before the bytes become visible: a key must never have unverified bytes, not even for a moment.
	if err := w.expect.Check(o.Digests, o.Size); err != nil {
		return Object{}, w.fail(fmt.Errorf("storage: commit %q: %w", w.key(), err))
	}
	if err := w.commit(o); err != nil {
		return Object{}, w.fail(err)
	}
	w.state = finished
	return o, nil
}

// CommitTemp is Commit for bytes that become the temporary file id and not an artifact: for a file that is on its way
// when it is not yet known what it will be.
//
// Errors: as Commit; Internal if the writer was made with a sha256 in its expectation, whose bytes are on their way to
// the artifact's key.
func (w *Writer) CommitTemp(id uuid.UUID) (Object, error) {
	if w.temp == "" && w.expect.Digests.SHA256 != "" {
		return Object{}, fmt.Errorf("storage: commit %q as a temporary file: %w: the writer expects a sha256; leave it out, "+
			"and compare the digests before", w.key(), pulperr.Internal)
	}
	if w.state == writing {
		w.temp = TempKey(id)
	}
	return w.Commit()
}

// Abort drops everything written. It is idempotent, and has no effect after Commit.
//
// Errors: Unavailable if spooled bytes could not be removed; [Store.Sweep] will.
func (w *Writer) Abort() error {
	err := w.drop()
	w.state = finished
	return err
}

// begin opens a sink, unless the promised bytes are stored already.
func (w *Writer) begin() error {
	key, err := w.target()
	if err != nil {
		return err
	}
	size := int64(-1)
	if w.expect.Size != nil {
		size = *w.expect.Size
		// Only the key of an artifact determines its bytes.
		if key != "" && w.temp == "" {
			there, err := w.store.stored(w.ctx, key, size)
			if err != nil {
				return w.fail(wrap(w.ctx, "write", w.key(), err))
			}
			if there {
				return nil
			}
			w.asked = true
		}
	}
	w.sink, err = w.store.backend.create(w.ctx, key, w.spool.key(), size)
	if err != nil {
		return w.fail(wrapWrite(w.ctx, "write", w.key(), err))
	}
	return nil
}

// commit moves the checked bytes to their key.
func (w *Writer) commit(o Object) error {
	key, err := w.keys.full("commit", o.Key)
	if err != nil {
		return err
	}
	// begin could not ask without digest and size. Bytes that are stored already are not written again.
	if w.temp == "" && !w.asked {
		there, err := w.store.stored(w.ctx, key, o.Size)
		if err != nil {
			return wrap(w.ctx, "commit", o.Key, err)
		}
		if there {
			return w.drop()
		}
	}
	// begin found the artifact stored, so the bytes were checked and not written. Reset writes them.
	if w.sink == nil {
		return fmt.Errorf("storage: commit %q: %w: the stored artifact was deleted meanwhile",
			o.Key, pulperr.Unavailable)
	}
	if err := w.sink.commit(w.ctx, key); err != nil {
		// An artifact stays: its bytes are right, and a row of another writer may refer to them.
		if w.temp != "" {
			w.store.clean(w.ctx, key)
		}
		return wrapWrite(w.ctx, "commit", o.Key, err)
	}
	w.sink = nil
	return nil
}

// clean removes a temporary file whose commit failed late.
func (s *shared) clean(ctx context.Context, key string) {
	cleanup, cancel := cleanupContext(ctx)
	defer cancel()
	if err := s.backend.remove(cleanup, key); err != nil && !isMissing(err) {
		s.log.WarnContext(ctx, "a temporary file was left behind", "key", key, "err", err)
	}
}

// stored reports whether the bytes of an artifact are at the full key, safe from a crash. An object of another size
// is not them.
func (s *shared) stored(ctx context.Context, key string, size int64) (bool, error) {
	a, err := s.backend.stat(ctx, key)
	switch {
	case err != nil && isMissing(err):
		return false, nil
	case err != nil:
		return false, err
	case a.Size != size:
		return false, nil // damaged, or the expected size is wrong
	}
	// Another process may have made the object visible and not yet durable. A row that refers to it is durable at once.
	if c, ok := s.backend.(durabilityChecker); ok {
		return true, c.ensureDurable(ctx, key)
	}
	return true, nil
}

// key returns the key as far as it is known, for messages.
func (w *Writer) key() string { return w.keyFor(w.expect.Digests) }

func (w *Writer) keyFor(d hashlib.Digests) string {
	if w.temp != "" {
		return w.temp
	}
	return ArtifactKey(d.SHA256)
}

// target returns the full key, or "" as long as it is unknown.
func (w *Writer) target() (string, error) {
	if key := w.key(); key != "" {
		return w.keys.full("write", key)
	}
	return "", w.keys.fault
}

func (w *Writer) usable() error {
	if w.state == finished {
		return errFinished
	}
	return w.err
}

// fail drops the bytes and keeps err, which every later call returns until Reset.
func (w *Writer) fail(err error) error {
	w.err, w.state = err, failed
	// Only logged: err is the cause, and Sweep removes the spooled bytes.
	if left := w.drop(); left != nil {
		w.store.log.WarnContext(w.ctx, "spooled bytes were left behind", "err", left)
	}
	return err
}

// drop removes the bytes written so far.
func (w *Writer) drop() error {
	s := w.sink
	w.sink = nil
	if s == nil {
		return nil
	}
	if err := s.abort(); err != nil {
		// With a canceled context wrap would report Canceled for a fault of the backend.
		return wrap(context.WithoutCancel(w.ctx), "abort", w.key(), err)
	}
	return nil
}

var errFinished = fmt.Errorf("storage: %w: the writer was committed or aborted: %w", pulperr.Internal, os.ErrClosed)
