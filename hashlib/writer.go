package hashlib

import (
	"encoding/hex"
	"hash"
)

// Writer computes all allowed digests and the size of the bytes that are written to it, in one pass. Make one with
// [Checksums.Writer]. It is not safe for concurrent use; its Write never fails.
type Writer struct {
	algorithms []Algorithm
	hashes     []hash.Hash
	size       int64
}

// Writer returns a writer for all allowed algorithms.
func (c *Checksums) Writer() *Writer {
	// The slice is shared and not copied, because a Checksums never changes.
	w := &Writer{algorithms: c.allowed, hashes: make([]hash.Hash, len(c.allowed))}
	for i, a := range c.allowed {
		w.hashes[i] = newHash(a)
	}
	return w
}

// Write adds p to every hash.
func (w *Writer) Write(p []byte) (int, error) {
	for _, h := range w.hashes {
		// The interface hash.Hash promises that Write returns no error.
		h.Write(p)
	}
	w.size += int64(len(p))
	return len(p), nil
}

// Size returns the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Digests returns the digests of the bytes that were written so far. Writing may go on afterwards.
func (w *Writer) Digests() Digests {
	var d Digests
	for i, a := range w.algorithms {
		// Sum computes on a copy of the state, so writing may go on.
		d.Set(a, hex.EncodeToString(w.hashes[i].Sum(nil)))
	}
	return d
}

// Reset forgets everything written.
func (w *Writer) Reset() {
	for _, h := range w.hashes {
		h.Reset()
	}
	w.size = 0
}
