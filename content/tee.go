package content

import (
	"context"
	"log/slog"

	"github.com/pulpgo/pulpcore/storage"
)

// tee is the sink of a download: bytes go to the spool, which clients read, and into the store. The store may fail;
// the clients get their bytes.
type tee struct {
	ctx    context.Context // of the download
	spool  *spool
	store  func() (*storage.Writer, error) // nil if nothing is stored, or not any more
	writer *storage.Writer                 // nil before the first byte, and without store
	log    *slog.Logger
}

// open begins to write into the store: not before the download has its turn, because many may wait for it.
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

// commit completes the artifact. It reports false if nothing is stored.
func (t *tee) commit() (storage.Object, bool, error) {
	t.open()
	if t.writer == nil {
		return storage.Object{}, false, nil
	}
	obj, err := t.writer.Commit()
	return obj, true, err
}

// Write adds p to both.
func (t *tee) Write(p []byte) (int, error) {
	if t.open(); t.writer != nil {
		if _, err := t.writer.Write(p); err != nil {
			t.give(err)
		}
	}
	return t.spool.Write(p)
}

// Reset starts both over, unless a client has read something.
func (t *tee) Reset() error {
	if err := t.spool.Reset(); err != nil {
		return err
	}
	t.abort()
	return nil
}

// give gives up storing.
func (t *tee) give(err error) {
	if t.ctx.Err() == nil {
		t.log.ErrorContext(t.ctx, "fetched content cannot be stored", "err", err)
	}
	t.store = nil
	t.abort()
}

// abort drops what is not committed.
func (t *tee) abort() {
	if t.writer == nil {
		return
	}
	if err := t.writer.Abort(); err != nil {
		t.log.WarnContext(t.ctx, "unfinished bytes were left in the store", "err", err)
	}
	t.writer = nil
}
