package hashlib

import (
	"cmp"
	"errors"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	chunkSize  = 256 << 10 // bytes; smaller costs hand-overs, larger falls out of the caches
	chunkCount = 4         // in flight for each writer, so a writer holds at most 1 MiB
)

// Hasher is what [Writer] and [ParallelWriter] have in common. Close it when done; Digests and Size still answer
// afterwards.
type Hasher interface {
	io.WriteCloser
	Size() int64
	Digests() Digests
}

// ParallelWriter is a [Writer] that spreads the hashes over several goroutines. It gains time only for many bytes on
// idle cores: at best it is as fast as its slowest hash. Make one with [Checksums.ParallelWriter].
//
// Goroutines are started by the first chunk of 256 KiB that is full and end with Close or Abort, one of which must be
// called. Write blocks while 1 MiB is waiting to be hashed. It is not safe for concurrent use.
type ParallelWriter struct {
	algorithms []Algorithm
	hashes     []hash.Hash
	groups     [][]hash.Hash // what each goroutine hashes; shares the values of hashes
	pool       *sync.Pool

	cur     *chunk // being filled, or nil
	size    int64
	queues  []chan *chunk // one for each group; nil before the first full chunk
	free    chan *chunk   // hashed by all; nil entries stand for chunks that were never allocated
	done    sync.WaitGroup
	aborted atomic.Bool
	closed  bool
}

// chunk is a piece of the stream that all groups read.
type chunk struct {
	buf  [chunkSize]byte
	n    int
	left atomic.Int32 // groups that still have to hash it
}

// ParallelWriter returns a writer that computes all allowed digests with at most workers goroutines; less than 1 means
// runtime.GOMAXPROCS(0).
func (c *Checksums) ParallelWriter(workers int) *ParallelWriter {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	w := &ParallelWriter{algorithms: c.allowed, hashes: make([]hash.Hash, len(c.allowed)), pool: &c.chunks}
	for i, a := range c.allowed {
		w.hashes[i] = newHash(a)
	}
	w.groups = balance(w.algorithms, w.hashes, min(workers, len(w.hashes)))
	return w
}

// cost is the relative time that an algorithm takes, as measured with the instructions of current processors.
func (a Algorithm) cost() int {
	switch a {
	case SHA1, SHA224, SHA256:
		return 6
	default:
		return 13
	}
}

// balance deals the hashes to n groups, the dearest first, each to the group that has least to do.
func balance(algorithms []Algorithm, hashes []hash.Hash, n int) [][]hash.Hash {
	order := make([]int, len(hashes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(algorithms[j].cost(), algorithms[i].cost()) })
	groups := make([][]hash.Hash, n)
	load := make([]int, n)
	for _, i := range order {
		least := slices.Index(load, slices.Min(load))
		groups[least] = append(groups[least], hashes[i])
		load[least] += algorithms[i].cost()
	}
	return groups
}

// Write adds p to every hash. The caller may reuse p at once.
//
// Errors: only after Close or Abort.
func (w *ParallelWriter) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errClosed
	}
	n := len(p)
	for len(p) > 0 {
		c := w.current()
		k := copy(c.buf[c.n:], p)
		p = p[k:]
		c.n += k
		w.size += int64(k)
		if c.n == chunkSize {
			w.dispatch()
		}
	}
	return n, nil
}

// ReadFrom adds everything that r has, without copying it once more. io.Copy uses it.
func (w *ParallelWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.closed {
		return 0, errClosed
	}
	start := w.size
	for empty := 0; ; {
		c := w.current()
		k, err := r.Read(c.buf[c.n:])
		if k < 0 || k > chunkSize-c.n {
			return w.size - start, errors.New("hashlib: reader returned an impossible count")
		}
		c.n += k
		w.size += int64(k)
		if c.n == chunkSize {
			w.dispatch()
		}
		if errors.Is(err, io.EOF) {
			return w.size - start, nil
		}
		if empty++; k > 0 {
			empty = 0
		}
		if err == nil && empty == 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return w.size - start, err
		}
	}
}

// Size returns the number of bytes written so far.
func (w *ParallelWriter) Size() int64 { return w.size }

// Digests waits until everything written so far is hashed and returns the digests. Writing may go on afterwards. After
// Abort there are none.
func (w *ParallelWriter) Digests() Digests {
	var d Digests
	if w.aborted.Load() {
		return d
	}
	w.settle()
	for i, a := range w.algorithms {
		d.Set(a, hexSum(w.hashes[i]))
	}
	return d
}

// Close hashes what is waiting and ends the goroutines. It is idempotent and always returns nil.
func (w *ParallelWriter) Close() error {
	if w.closed {
		return nil
	}
	w.settle()
	w.stop()
	return nil
}

// Abort ends the goroutines without hashing what is waiting. It is idempotent, and does nothing after Close.
func (w *ParallelWriter) Abort() {
	if w.closed {
		return
	}
	w.aborted.Store(true)
	w.stop()
}

// current returns the chunk to fill, waiting for one to be hashed if all are in flight.
func (w *ParallelWriter) current() *chunk {
	if w.cur != nil {
		return w.cur
	}
	if w.free == nil {
		w.free = make(chan *chunk, chunkCount)
		for range chunkCount {
			w.free <- nil
		}
	}
	if w.cur = <-w.free; w.cur == nil {
		w.cur, _ = w.pool.Get().(*chunk)
	}
	if w.cur == nil {
		w.cur = new(chunk)
	}
	w.cur.n = 0
	return w.cur
}

// dispatch hands the current chunk to all goroutines, starting them the first time.
func (w *ParallelWriter) dispatch() {
	if w.queues == nil {
		for _, group := range w.groups {
			q := make(chan *chunk, chunkCount) // room for all chunks, so sending never blocks
			w.queues = append(w.queues, q)
			w.done.Go(func() { w.work(q, group) })
		}
	}
	c := w.cur
	w.cur = nil
	c.left.Store(int32(len(w.queues)))
	for _, q := range w.queues {
		q <- c
	}
}

func (w *ParallelWriter) work(q <-chan *chunk, group []hash.Hash) {
	for c := range q {
		if !w.aborted.Load() {
			for _, h := range group {
				h.Write(c.buf[:c.n])
			}
		}
		if c.left.Add(-1) == 0 {
			w.free <- c
		}
	}
}

// settle waits for the goroutines to have nothing to do and hashes the begun chunk here.
func (w *ParallelWriter) settle() {
	if w.free == nil || w.closed {
		return
	}
	cur := w.cur
	held := make([]*chunk, 0, chunkCount)
	for range chunkCount - inHand(cur) {
		held = append(held, <-w.free)
	}
	if cur != nil {
		for _, h := range w.hashes {
			h.Write(cur.buf[:cur.n])
		}
		held = append(held, cur)
		w.cur = nil
	}
	for _, c := range held {
		w.free <- c
	}
}

func inHand(c *chunk) int {
	if c == nil {
		return 0
	}
	return 1
}

// stop ends the goroutines and returns the chunks to the pool.
func (w *ParallelWriter) stop() {
	w.closed = true
	for _, q := range w.queues {
		close(q)
	}
	w.done.Wait()
	if w.cur != nil {
		w.pool.Put(w.cur)
		w.cur = nil
	}
	if w.free == nil {
		return
	}
	for len(w.free) > 0 {
		if c := <-w.free; c != nil {
			w.pool.Put(c)
		}
	}
}

var errClosed = errors.New("hashlib: write to a closed writer")
