package storage

import (
	"bytes"
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"
)

const (
	// holdBytes is how much is kept in memory before an upload begins. Smaller objects cost one request, even if
	// their key is known only at the end.
	holdBytes = 1 << 20
	// maxParts is how many parts S3 allows an upload to have; partBytes is gocloud's own size of a part.
	maxParts  = 10_000
	partBytes = 8 << 20
)

// upload is a sink: bytes on their way to a bucket.
type upload struct {
	backend *bucketBackend
	ctx     context.Context
	cancel  context.CancelFunc
	key     string // "" as long as unknown
	spool   string
	size    int64 // expected, or -1
	held    []byte
	w       *blob.Writer // nil while all bytes are held
	stored  bool         // there are bytes at spool
}

func (b *bucketBackend) create(ctx context.Context, key, spool string, size int64) (sink, error) {
	if err := b.intercept(ctx, OpCreate, key); err != nil {
		return nil, err
	}
	// gocloud drops the bytes of a writer only if its context was canceled before Close.
	ctx, cancel := context.WithCancel(ctx)
	u := &upload{backend: b, ctx: ctx, cancel: cancel, key: key, spool: spool, size: size}
	if size <= holdBytes {
		u.held = make([]byte, 0, max(size, 0))
	}
	return u, nil
}

func (u *upload) Write(p []byte) (int, error) {
	if err := u.backend.intercept(u.ctx, OpWrite, u.key); err != nil {
		return 0, err
	}
	if u.w == nil {
		if len(u.held)+len(p) <= holdBytes {
			u.held = append(u.held, p...)
			return len(p), nil
		}
		if err := u.begin(); err != nil {
			return 0, err
		}
	}
	return u.w.Write(p)
}

func (u *upload) begin() error {
	key := u.key
	if key == "" {
		// The key of an artifact is its digest, which is known at the end. commit copies the bytes there.
		key = u.spool
	}
	w, err := u.backend.bucket.NewWriter(u.ctx, key, writerOptions(u.size))
	if err != nil {
		return err
	}
	u.w = w
	_, err = w.Write(u.held)
	u.held = nil
	return err
}

func (u *upload) commit(ctx context.Context, key string) error {
	if err := u.backend.intercept(ctx, OpCommit, key); err != nil {
		return err
	}
	defer u.cancel()
	if u.w == nil {
		return u.backend.bucket.Upload(u.ctx, key, bytes.NewReader(u.held), writerOptions(u.size))
	}
	w := u.w
	// Close ends the writer also if it fails, and abort must not close it again.
	u.w = nil
	if err := w.Close(); err != nil {
		return err
	}
	if u.key != "" {
		return nil
	}
	// Before the copy: if that fails, abort has to remove the object in the spool.
	u.stored = true
	if err := u.backend.link(ctx, u.spool, key, ""); err != nil {
		return err
	}
	// Not an error: the artifact is stored, and Sweep removes its spool file if that remains.
	_ = u.abort()
	return nil
}

// abort also cleans up after a commit by way of the spool.
func (u *upload) abort() error {
	u.cancel()
	if u.w != nil {
		// The error is that of the cancellation above.
		_ = u.w.Close()
		u.w = nil
	}
	u.held = nil
	if !u.stored {
		return nil
	}
	u.stored = false
	// The context of the upload is canceled by now.
	ctx, cancel := cleanupContext(u.ctx)
	defer cancel()
	return u.backend.remove(ctx, u.spool)
}

// link copies inside the service, where that is possible.
func (b *bucketBackend) link(ctx context.Context, from, to, _ string) error {
	if err := b.intercept(ctx, OpLink, to); err != nil {
		return err
	}
	err := b.bucket.Copy(ctx, to, from, nil)
	if err == nil || isMissing(err) || ctx.Err() != nil {
		return err
	}
	// Some services do not copy, or not every object: S3 copies at most 5 GB in one request.
	if again := b.copy(ctx, from, to); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

// copy moves the bytes through this process.
func (b *bucketBackend) copy(ctx context.Context, from, to string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := b.bucket.NewReader(ctx, from, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := b.bucket.NewWriter(ctx, to, writerOptions(r.Size()))
	if err != nil {
		return err
	}
	n, err := io.Copy(w, r)
	// A reader that ends early without an error must not make a short object.
	if err == nil && n != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		// Otherwise Close would store the bytes so far as a complete object.
		cancel()
		_ = w.Close()
		return err
	}
	return w.Close()
}

// writerOptions returns the options for an object of size bytes, or of -1 for an unknown number.
func writerOptions(size int64) *blob.WriterOptions {
	// Upload needs a type, and NewWriter would guess one from the bytes.
	o := &blob.WriterOptions{ContentType: "application/octet-stream"}
	// S3 would refuse the object after 78 GiB, when the last part is used up.
	if size > maxParts*partBytes {
		o.BufferSize = int(size/maxParts) + 1
	}
	return o
}
