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
	writer *storage.Writer // nil if nothing is stored, or not any more
	log    *slog.Logger
}

// store takes the result of [storage.Store.NewArtifactWriter].
func (t *tee) store(w *storage.Writer, err error) {
	if err != nil {
		t.give(err)
		return
	}
	t.writer = w
}

// Write adds p to both.
func (t *tee) Write(p []byte) (int, error) {
	if t.writer != nil {
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
	if t.writer != nil {
		if err := t.writer.Reset(); err != nil {
			t.give(err)
		}
	}
	return nil
}

// give gives up storing.
func (t *tee) give(err error) {
	if t.ctx.Err() == nil {
		t.log.ErrorContext(t.ctx, "fetched content cannot be stored", "err", err)
	}
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
