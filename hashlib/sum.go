package hashlib

import (
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
)

// From this size on, and with this many cores, hashing in parallel pays.
const (
	parallelSize  = 8 << 20 // bytes
	parallelCores = 4
)

// WriterFor returns a writer that suits a stream of size bytes; a negative size means that it is not known. It is a
// [ParallelWriter] for large streams on machines with at least four cores, else a [Writer]. Close it when done.
func (c *Checksums) WriterFor(size int64) Hasher {
	cores := runtime.GOMAXPROCS(0)
	if size < parallelSize || cores < parallelCores || len(c.allowed) < 2 {
		return c.Writer()
	}
	return c.ParallelWriter(cores)
}

// Sum reads r to its end and returns all allowed digests and the number of bytes. size is a hint for the choice of
// [Checksums.WriterFor], and need not be right.
//
// Errors: what r returns, wrapped; then the digests are empty and the number is of the bytes read.
func (c *Checksums) Sum(r io.Reader, size int64) (Digests, int64, error) {
	w := c.WriterFor(size)
	defer w.Close()
	if p, ok := w.(*ParallelWriter); ok {
		defer p.Abort() // before Close: after a failed read the waiting bytes need not be hashed
	}
	if err := c.fill(w, r); err != nil {
		return Digests{}, w.Size(), fmt.Errorf("hashlib: sum: %w", err)
	}
	return w.Digests(), w.Size(), nil
}

// fill copies through a pooled buffer, unless w reads by itself.
func (c *Checksums) fill(w Hasher, r io.Reader) error {
	if p, ok := w.(*ParallelWriter); ok {
		_, err := p.ReadFrom(r)
		return err
	}
	b, _ := c.chunks.Get().(*chunk)
	if b == nil {
		b = new(chunk)
	}
	defer c.chunks.Put(b)
	// Hiding r's WriterTo keeps the pieces at the size of the buffer.
	_, err := io.CopyBuffer(w, struct{ io.Reader }{r}, b.buf[:])
	return err
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
