package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/pulpgo/pulpcore/pulperr"
)

// holdback is the number of bytes at the end of a download that no client gets before the whole was found right. A
// client that has the other bytes knows from the length that some are missing.
const holdback = 64 << 10

var (
	errDelivered = errors.New("content: a client has read part of the file already")
	errSpool     = errors.New("content: the work directory cannot be written")
	errOutside   = errors.New("content: seek before the beginning")
)

// spool is a file that one goroutine writes and many read while it grows.
type spool struct {
	dir string

	mu       sync.Mutex
	file     *os.File      // nil before the first byte
	changed  chan struct{} // closed at every change; nil without waiters
	written  int64
	visible  int64  // what readers may see
	size     int64  // of the whole as the source said; -1 if unknown
	sha256   string // of the whole as the remote said; "" if unknown
	proven   bool   // the end will show whether the bytes are right: a digest is known
	begun    bool   // the source answered
	done     bool   // all is visible, or err says why not
	err      error
	pinned   bool // a client reads: the fetch cannot start over
	refs     int
	unlinked bool
}

func newSpool(dir string) *spool { return &spool{dir: dir, size: -1, refs: 1} }

// begin records that a source has begun to answer, and the size and digest of the file.
func (s *spool) begin(size int64, sha256 string, proven bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.sha256, s.proven, s.begun = size, sha256, proven, true
	s.wake()
}

// Write adds bytes at the end.
func (s *spool) Write(p []byte) (int, error) {
	if err := s.create(); err != nil {
		return 0, err
	}
	// Without the lock, so that readers do not wait for the disk. Only this goroutine changes file and written.
	n, err := s.file.WriteAt(p, s.written)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += int64(n)
	s.visible = max(s.visible, s.written-holdback)
	s.wake()
	if err != nil {
		return n, fmt.Errorf("%w: %w: %w", errSpool, pulperr.Unavailable, err)
	}
	return n, nil
}

func (s *spool) create() error {
	if s.file != nil {
		return nil
	}
	// os.CreateTemp would use the system's temporary folder, which may be too small.
	if s.dir == "" {
		return fmt.Errorf("%w: Options.WorkDir is not set: %w", errSpool, pulperr.Unavailable)
	}
	f, err := os.CreateTemp(s.dir, "pulp-content-")
	if err != nil {
		return fmt.Errorf("%w: %w: %w", errSpool, pulperr.Unavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = f
	// So that no file remains if the process dies. On systems that cannot remove an open file, release removes it.
	s.unlinked = os.Remove(f.Name()) == nil
	return nil
}

// Reset forgets all bytes. It refuses once a client reads them.
func (s *spool) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinned {
		return errDelivered
	}
	// The bytes stay in the file: no reader sees them before they are overwritten, because visible is 0.
	s.written, s.visible, s.size, s.sha256, s.proven, s.begun = 0, 0, -1, "", false, false
	return nil
}

// finish makes all bytes visible, or records that no more will come. Only the first call counts.
func (s *spool) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.done, s.err = true, err
	if err == nil {
		s.visible, s.size = s.written, s.written
	}
	s.wake()
}

// wake is called with the lock held.
func (s *spool) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// wait returns once ready, which is called with the lock held, reports true.
func (s *spool) wait(ctx context.Context, ready func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ready() {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		// Read under the lock, so that a change between Unlock and select is not missed.
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// open waits for the first visible byte, or with whole for the last, and returns a reader. After that the spool does
// not start over. The caller releases the spool after the last read.
//
// Errors: why there are no bytes.
func (s *spool) open(ctx context.Context, whole bool) (*spoolReader, error) {
	var rd *spoolReader
	err := s.wait(ctx, func() bool {
		if s.done && s.err != nil {
			return true
		}
		if s.done || s.visible > 0 && !whole {
			// Under the lock of Reset, so that no restart comes between the check and the first read.
			s.pinned = true
			rd = &spoolReader{ctx: ctx, s: s, size: s.size, sha256: s.sha256}
			return true
		}
		return false
	})
	if err == nil && rd == nil {
		err = s.err
	}
	return rd, err
}

// spoolStart holds the properties of a file that are known when its source begins to answer.
type spoolStart struct {
	size   int64 // -1 if unknown
	sha256 string
	proven bool
}

// started waits until the source has begun to answer and returns the size and digest of the file.
func (s *spool) started(ctx context.Context) (spoolStart, error) {
	if err := s.wait(ctx, func() bool { return s.begun || s.done }); err != nil {
		return spoolStart{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return spoolStart{s.size, s.sha256, s.proven}, s.err
}

func (s *spool) hasBegun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// read reports whether a client has read bytes, so that the spool cannot start over.
func (s *spool) read() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pinned
}

func (s *spool) retain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs++
}

// release gives up one use; the last one removes the file.
func (s *spool) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs--
	if s.refs > 0 || s.file == nil {
		return
	}
	_ = s.file.Close()
	if !s.unlinked {
		_ = os.Remove(s.file.Name())
	}
}

// spoolReader reads a spool from any position and waits for bytes that have not arrived yet.
type spoolReader struct {
	ctx    context.Context // of the request that it belongs to
	s      *spool
	size   int64 // -1 if unknown
	sha256 string
	pos    int64
}

// Read reads the next bytes. The end is io.EOF only if all bytes were found right.
func (r *spoolReader) Read(p []byte) (int, error) {
	var visible int64
	var end error
	err := r.s.wait(r.ctx, func() bool {
		visible = r.s.visible
		if r.s.done {
			if end = r.s.err; end == nil {
				end = io.EOF
			}
		}
		return visible > r.pos || r.s.done
	})
	if err != nil {
		return 0, err
	}
	if visible <= r.pos {
		return 0, end
	}
	// Without the lock: once a client reads, visible bytes are never written again.
	n, err := r.s.file.ReadAt(p[:min(int64(len(p)), visible-r.pos)], r.pos)
	r.pos += int64(n)
	return n, err
}

// Seek sets the position. The end is known only if the size is.
func (r *spoolReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += max(r.size, 0)
	}
	if offset < 0 {
		return 0, errOutside
	}
	r.pos = offset
	return offset, nil
}
