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
	OpCreate  Op = "create"  // before a file is made or an upload begins
	OpWrite   Op = "write"   // before each chunk is written
	OpSync    Op = "sync"    // before the bytes of a file are flushed; on a folder only
	OpCommit  Op = "commit"  // before the bytes appear under their key
	OpSyncDir Op = "syncdir" // before a directory is flushed, after the bytes appeared; on a folder only
	OpLink    Op = "link"    // before stored bytes are given a second key
	OpOpen    Op = "open"
	OpStat    Op = "stat"
	OpDelete  Op = "delete"
	OpList    Op = "list"
	OpSign    Op = "sign"
)

// backend stores bytes under keys. A local folder and a gocloud.dev bucket implement it; a host with a service of its
// own implements gocloud.dev/blob/driver.Bucket, passes blob.NewBucket of it to [New] and runs package
// storage/storagetest on the result.
//
// Keys are valid and complete: the Store has checked them and put its prefix before them. All methods are safe for
// concurrent use, also by other processes on the same folder or bucket. A method returns soon after its context is
// canceled, and then returns an error. Errors are the backend's own; wrap gives them a kind. An error that isMissing
// recognizes (fs.ErrNotExist, gcerrors.NotFound) means that the key has no object, and must have no other meaning.
type backend interface {
	// create begins a write of size bytes (-1: unknown) to key. With key "" the key becomes known at commit, and the
	// backend may keep the bytes at spool until then. Before commit the object is not visible at key. create need not
	// reach the service: a fault may be reported by a later Write or commit. The context must live as long as the sink.
	create(ctx context.Context, key, spool string, size int64) (sink, error)

	// open reads length bytes (-1: all) from offset on, fewer if the object ends before. An offset equal to the size
	// gives a source of no bytes; one behind it fails with pulperr.Invalid. A deletion or a new write of key while the
	// source is open must not mix old and new bytes: the source goes on with the old ones or fails.
	// The context must live as long as the source, and the caller closes the source.
	open(ctx context.Context, key string, offset, length int64) (source, error)

	// stat returns the size and the time of the last write of the object at key. It fails with a missing error if there
	// is none; a folder of that name is not an object. Once a commit of key has returned, stat finds the object.
	stat(ctx context.Context, key string) (Attributes, error)

	// remove deletes the object at key. It may fail with a missing error if there is none, or succeed; the Store
	// accepts both. Once remove has returned, stat and open of key fail.
	remove(ctx context.Context, key string) error

	// link stores the bytes at from under to as well, and keeps both. It replaces an object at to in one step: a reader
	// sees the old bytes or the new ones, complete. Where the service can, no byte passes through this process.
	// spool is a free key for intermediate bytes, removed before link returns. After link has returned the bytes at to
	// are as durable as after a commit. It fails with a missing error if from has no object.
	link(ctx context.Context, from, to, spool string) error

	// list yields every object whose key begins with prefix, which is "" or ends in a slash, each once and in any order.
	// Objects written or removed meanwhile may be missing or present. After an error the sequence ends.
	list(ctx context.Context, prefix string) iter.Seq2[Attributes, error]

	// close releases connections and descriptors. The Store calls it once, after all sinks and sources have ended;
	// methods that are called afterwards fail. It does not end work of other processes.
	close() error
}

// durabilityChecker is a backend in which an object may be visible before it would survive a power cut.
type durabilityChecker interface {
	// ensureDurable returns nil once the object at key, which stat has found, survives a power cut.
	ensureDurable(ctx context.Context, key string) error
}

// signer is a backend that may give out URLs.
type signer interface {
	// sign returns a URL that allows o.Method on key for o.Expiry. It does not check that the object exists.
	sign(ctx context.Context, key string, o SignOptions) (string, error)
}

// sink is a write that is not yet visible. It ends with one commit or abort. After a failed commit, abort removes what
// the write has left outside of its key. A sink is not safe for concurrent use.
type sink interface {
	// Write adds p and keeps no reference to it.
	io.Writer

	// commit makes all bytes visible at key in one step, and replaces an object there. key is that of create, unless
	// that was "". Once commit has returned nil, the bytes survive a crash of the process and, unless Options.Relaxed,
	// a power cut. After the context was canceled commit fails and leaves key as it was.
	commit(ctx context.Context, key string) error

	// abort drops the bytes, also if the context was canceled. A second call has no effect.
	abort() error
}

// source is an open object: size is that of the whole object, also if a part is read.
type source struct {
	io.ReadSeekCloser          // position 0 is the first byte of the part asked for; Seek is only called with SeekStart
	size              int64    // bytes of the whole object
	length            int64    // bytes of the part
	file              *os.File // the same bytes as a file, from its current position on; nil if they are elsewhere
	modTime           time.Time
}
