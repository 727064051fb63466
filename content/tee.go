package content

import (
	"context"
	"log/slog"
	"time"

	"github.com/pulpgo/pulpcore/storage"
)

// tee is the sink of a download: bytes go to the spool, which clients read, and into the store. A fault of the store
// does not end the download.
type tee struct {
	ctx    context.Context // of the download
	spool  *spool
	store  func() (*storage.Writer, error) // nil if nothing is stored, or not any more
	writer *storage.Writer                 // nil before the first byte, and without store
	log    *slog.Logger
}

// maxSave is how long a file that was fetched may take to be stored after the content app was closed.
const maxSave = 30 * time.Second

// storing is the context of a writer into the store. It ends with the fetch, until all bytes are here: then the file is
// stored even if the content app is closed in the meantime.
type storing struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	detach func() bool
	late   *time.Timer
}

func newStoring(ctx context.Context) *storing {
	s := &storing{}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.detach = context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	return s
}

// whole is called when all bytes are here. It reports false if the fetch has ended before.
func (s *storing) whole() bool {
	// The cancellation of the fetch has reached the writer already.
	if !s.detach() {
		return false
	}
	s.late = time.AfterFunc(maxSave, func() { s.cancel(context.DeadlineExceeded) })
	return true
}

func (s *storing) end() {
	s.detach()
	if s.late != nil {
		s.late.Stop()
	}
	s.cancel(nil)
}

// open begins to write into the store.
func (t *tee) open() {
	if t.store == nil || t.writer != nil {
		return
	}
	w, err := t.store()
	if err != nil {
		t.give(err)
		return
	}
	t.writer = w
}

// commit completes the artifact. It reports false if there is none to store.
func (t *tee) commit() (storage.Object, bool, error) {
	// A file without bytes has had no Write.
	t.open()
	if t.writer == nil {
		return storage.Object{}, false, nil
	}
	obj, err := t.writer.Commit()
	return obj, true, err
}

// Write adds p to both.
func (t *tee) Write(p []byte) (int, error) {
	// The writer is opened by the first byte: many fetches may wait for their turn, and each writer holds a file.
	if t.open(); t.writer != nil {
		if _, err := t.writer.Write(p); err != nil {
			// The clients get their bytes also if the store is full.
			t.give(err)
		}
	}
	return t.spool.Write(p)
}

// Reset starts both over, unless a client has read bytes.
func (t *tee) Reset() error {
	if err := t.spool.Reset(); err != nil {
		return err
	}
	t.abort()
	return nil
}

// give gives up storing.
func (t *tee) give(err error) {
	// The end of the fetch also ends the writer, which is no fault of the store.
	if t.ctx.Err() == nil {
		t.log.ErrorContext(t.ctx, "fetched content cannot be stored", "err", err)
	}
	t.store = nil
	t.abort()
}

// abort drops uncommitted bytes.
func (t *tee) abort() {
	if t.writer == nil {
		return
	}
	if err := t.writer.Abort(); err != nil {
		t.log.WarnContext(t.ctx, "unfinished bytes were left in the store", "err", err)
	}
	t.writer = nil
}
