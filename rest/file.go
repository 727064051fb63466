package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// File is a file of a content unit that is being created. Its bytes are in the store.
type File struct {
	RelativePath string           // of the file in the unit; relative, without "." and ".." segments
	Name         string           // what the client called the file, without folders; "" for an artifact that it named
	Artifact     *models.Artifact // saved, with size and digests
	DB           *models.DB       // bound to the domain of the unit
	Store        *storage.Store
}

// Open returns the bytes of the file. The caller closes them.
//
// Errors: NotFound if the bytes were removed meanwhile; Unavailable if the store did not answer.
func (f *File) Open(ctx context.Context) (*FileBytes, error) {
	r, err := f.Store.Open(ctx, f.Artifact.Key())
	if err != nil {
		return nil, err
	}
	return &FileBytes{reader: r}, nil
}

// CopyTo copies the bytes into a new file of a directory, for packages that take the name of a file and no reader. The
// caller removes it. A directory that is meant for that is the setting WORKING_DIRECTORY.
//
// Errors: those of Open; Unavailable if the file cannot be written.
func (f *File) CopyTo(ctx context.Context, dir string) (path string, err error) {
	from, err := f.Open(ctx)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.CreateTemp(dir, "pulp-file-")
	if err != nil {
		return "", fmt.Errorf("rest: copy of a file: %w: %w", pulperr.Unavailable, err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		_ = os.Remove(to.Name())
		return "", fmt.Errorf("rest: copy of a file: %w: %w", pulperr.Unavailable, err)
	}
	return to.Name(), nil
}

// FileBytes are the bytes of a [File]. They are an [io.ReadSeekCloser], and an [io.ReaderAt] for packages such as
// archive/zip. ReadAt is safe for concurrent use, the other methods are not, and the context given to Open must live as
// long as they do.
type FileBytes struct {
	mu     sync.Mutex // of ReadAt, which moves the reader and puts it back
	reader *storage.Reader
}

// Read is of [io.Reader].
func (b *FileBytes) Read(p []byte) (int, error) { return b.reader.Read(p) }

// Seek is of [io.Seeker].
func (b *FileBytes) Seek(offset int64, whence int) (int64, error) {
	return b.reader.Seek(offset, whence)
}

// Close is of [io.Closer].
func (b *FileBytes) Close() error { return b.reader.Close() }

// Size returns the number of bytes.
func (b *FileBytes) Size() int64 { return b.reader.Size() }

// ReadAt is of [io.ReaderAt]. Each jump may cost a request to the store, so read ranges that belong together at once.
func (b *FileBytes) ReadAt(p []byte, offset int64) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if offset >= b.reader.Size() {
		return 0, io.EOF
	}
	before, err := b.reader.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if _, err = b.reader.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err = io.ReadFull(b.reader, p)
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // ReadFull returns it as it is; a cut stream has a kind
		err = io.EOF
	}
	// Read goes on at the position where it was.
	if _, back := b.reader.Seek(before, io.SeekStart); err == nil {
		err = back
	}
	return n, err
}

// FileInitializer is implemented by content that reads its own fields from its file, such as the metadata in a package.
// It is called when the bytes are in the store: within the request for a file and for an artifact that the client
// names, so it must be quick, and by the task for a file_url. See [SingleArtifact].
type FileInitializer interface {
	// InitializeFromFile sets fields. An error of kind Invalid, preferably made with pulperr.Field or [FieldErrors], is
	// the client's fault.
	InitializeFromFile(ctx context.Context, f *File) error
}

// ContextValidator is implemented by rows whose check needs the database. It runs after models.Validator, before a
// row is saved by the API or a task is dispatched that saves it, and in [Serializer.Decode]. Nothing holds a lock
// between the check and the saving: what must never happen needs a unique key.
type ContextValidator interface {
	// ValidateIn returns nil, or an error of kind Invalid, preferably made with pulperr.Field or [FieldErrors]. db is
	// bound to the domain of the row. An update is checked as the row that it makes: leave out the row of the same key.
	ValidateIn(ctx context.Context, db *models.DB) error
}
