package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Reader reads a stored object or a part of it. It is an io.ReadSeekCloser and an io.WriterTo, fit for
// http.ServeContent. The end of its data is io.EOF only if all bytes were read; a cut stream is an error of kind
// Unavailable. It is not safe for concurrent use, and the context given to Open must live as long as it does.
type Reader struct {
	ctx context.Context
	key string
	src source
	pos int64 // from the start of the part
}

// Size returns the number of bytes of the whole object, also if a part of it is read.
func (r *Reader) Size() int64 { return r.src.size }

// Len returns the number of bytes of the part that is read; without a range that is Size.
func (r *Reader) Len() int64 { return r.src.length }

// ModTime returns when the object was stored, or the zero time if that is not known.
func (r *Reader) ModTime() time.Time { return r.src.modTime }

// File returns the open file at the current position if the bytes are in a local folder, else nil. It allows sendfile.
// Only the next Len bytes belong to the part. The file is closed with the reader; using both mixes up their positions.
func (r *Reader) File() *os.File { return r.src.file }

// Read reads the next bytes.
func (r *Reader) Read(p []byte) (int, error) {
	// A local file does not end with the context.
	if err := context.Cause(r.ctx); err != nil {
		return 0, wrap(r.ctx, "read", r.key, err)
	}
	if r.pos >= r.src.length {
		return 0, io.EOF
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.src.length-r.pos)])
	r.pos += int64(n)
	return n, r.end(err)
}

// Seek sets the position of the next Read, inside the part.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.src.length
	}
	if offset < 0 || offset > r.src.length {
		return 0, pulperr.Field("offset", "%d is outside of %d bytes", offset, r.src.length)
	}
	// Always from the start: the end of the backend's source is that of the object and not of the part.
	pos, err := r.src.Seek(offset, io.SeekStart)
	if err != nil {
		return 0, wrap(r.ctx, "seek", r.key, err)
	}
	r.pos = pos
	return pos, nil
}

// WriteTo writes the remaining bytes to w. From a local folder to a network connection the kernel copies them. An
// error of w is returned as it is.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.src.file == nil {
		// Without onlyReader io.Copy would call WriteTo again.
		return io.Copy(w, onlyReader{r})
	}
	if err := context.Cause(r.ctx); err != nil {
		return 0, wrap(r.ctx, "read", r.key, err)
	}
	// A network connection uses sendfile for exactly this type around an *os.File.
	n, err := io.Copy(w, &io.LimitedReader{R: r.src.file, N: r.src.length - r.pos})
	r.pos += n
	// io.Copy takes the end of a file that was truncated for the end of the data.
	if err == nil && r.pos < r.src.length {
		return n, r.end(io.EOF)
	}
	return n, err // most likely w's
}

// Close releases the reader. It is idempotent.
func (r *Reader) Close() error {
	if err := r.src.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return wrap(r.ctx, "close", r.key, err)
	}
	return nil
}

// end distinguishes the end of the data from a stream that was cut.
func (r *Reader) end(err error) error {
	switch {
	case err == nil:
		return nil
	case err != io.EOF: //nolint:errorlint // readers return it bare
		return wrap(r.ctx, "read", r.key, err)
	case r.pos < r.src.length:
		return fmt.Errorf("storage: read %q: %w: only %d of %d bytes: %w",
			r.key, pulperr.Unavailable, r.pos, r.src.length, io.ErrUnexpectedEOF)
	}
	return io.EOF
}

// onlyReader hides WriteTo from io.Copy.
type onlyReader struct{ io.Reader }
