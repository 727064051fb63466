package storage

import (
	"context"
	"io"
	"iter"
	"os"
	"time"
)

// Op names an operation on the backend, for [Options].Intercept.
type Op string

// The operations on a backend.
const (
	OpCreate Op = "create" // before a file is made or an upload begins
	OpWrite  Op = "write"  // before each chunk is written
	OpSync   Op = "sync"   // before the bytes of a file are flushed; on a folder only
	OpCommit Op = "commit" // before the bytes appear under their key
	OpSettle Op = "settle" // before a directory is flushed, after the bytes appeared; on a folder only
	OpLink   Op = "link"   // before stored bytes are given a second key
	OpOpen   Op = "open"
	OpStat   Op = "stat"
	OpDelete Op = "delete"
	OpList   Op = "list"
	OpSign   Op = "sign"
)

// backend is what a Store needs of the place where bytes are. Keys are valid and complete. Errors are the backend's
// own; wrap gives them a kind.
type backend interface {
	// create begins a write of size bytes (-1: unknown) to key. If key is "", the bytes are kept at spool until commit
	// names their key.
	create(ctx context.Context, key, spool string, size int64) (sink, error)
	// open reads length bytes (-1: all) from offset on.
	open(ctx context.Context, key string, offset, length int64) (source, error)
	stat(ctx context.Context, key string) (Attributes, error)
	// remove fails with fs.ErrNotExist or gcerrors.NotFound if there is nothing.
	remove(ctx context.Context, key string) error
	// link gives the bytes at from a second key without moving them through this process, where possible.
	link(ctx context.Context, from, to, spool string) error
	// list yields what is below prefix, which is "" or ends in a slash.
	list(ctx context.Context, prefix string) iter.Seq2[Attributes, error]
	close() error
}

// confirmer is a backend in which existing is not yet the same as surviving a crash.
type confirmer interface {
	confirm(ctx context.Context, key string) error
}

// signer is a backend that may give out URLs.
type signer interface {
	sign(ctx context.Context, key string, o SignOptions) (string, error)
}

// sink is a write that has not yet happened. It ends with one commit or abort; after a failed commit abort cleans up.
type sink interface {
	io.Writer
	commit(ctx context.Context, key string) error
	abort() error
}

// source is an open object: size is that of the whole object, whatever part is read.
type source struct {
	io.ReadSeekCloser          // position 0 is the first byte of the part asked for; Seek is only told SeekStart
	size              int64    // bytes of the whole object
	length            int64    // bytes of the part
	file              *os.File // the same bytes as a file, from its current position on; nil if they are elsewhere
	modTime           time.Time
}
