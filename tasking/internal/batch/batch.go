// Package batch writes items of many callers together: group commit with a leader.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Writer implements group commit. Items that arrive while a batch is being written form the next one; the first caller
// that waits becomes its leader and writes it. A Writer has no timer, so an item never waits for company, and no
// goroutine of its own. It is safe for concurrent use. The exported fields are set before the first call.
type Writer[T, R any] struct {
	Limit  int         // of the weight of one batch
	Weight func(T) int // nil gives each item the weight 1
	// Write stores a batch and returns a result per item, in their order, or one error for all of them.
	Write func(ctx context.Context, items []T) ([]R, error)
	// IsItemError reports whether an error of a batch may be caused by one item. Then each item is written alone, so
	// that the others do not fail with it. Nil is never.
	IsItemError func(error) bool

	mu      sync.Mutex
	writing bool
	queue   []*pending[T, R] // each is a caller that waits in Do, so it is no longer than there are callers
}

// pending is one item until its caller has the result.
type pending[T, R any] struct {
	ctx    context.Context //nolint:containedctx // of the caller, who waits for as long as this lives
	item   T
	result R
	err    error
	done   chan struct{} // closed when result and err are set
	leads  chan struct{} // closed when its caller has to write the next batch
}

// writeTimeout bounds the write of a batch: a connection whose other end is gone would otherwise hold up all callers
// until the operating system gives it up.
const writeTimeout = 30 * time.Second

var (
	errWriteTimeout = fmt.Errorf("tasking: no answer to a write for %v: %w", writeTimeout, pulperr.Unavailable)
	errUnwritten    = errors.New("tasking: the write of the batch panicked")
)

// Do writes item as part of a batch and returns its result. If ctx ends while the item is queued, it returns the cause,
// and the item is not written. A write that has begun ends early only when the contexts of all its callers have ended,
// or with errWriteTimeout.
func (b *Writer[T, R]) Do(ctx context.Context, item T) (R, error) {
	p := &pending[T, R]{ctx: ctx, item: item, done: make(chan struct{}), leads: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, p)
	if !b.writing {
		b.writing = true
		close(p.leads)
	}
	b.mu.Unlock()
	select {
	case <-p.leads:
		b.writeAsLeader()
	case <-p.done:
	case <-ctx.Done():
		if b.leave(p) {
			var none R
			return none, context.Cause(ctx)
		}
	}
	// The item is in a write that has begun, so its outcome has to be known.
	<-p.done
	return p.result, p.err
}

// leave takes p off the queue, or hands the lead on if p got it meanwhile. It reports false if the caller must wait for
// the write, which ends with its context as well.
func (b *Writer[T, R]) leave(p *pending[T, R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.queue {
		if other != p {
			continue
		}
		b.queue = append(b.queue[:i], b.queue[i+1:]...)
		select {
		case <-p.leads:
			// p became the leader as its context ended. Without another leader the queue would never be written.
			b.handOver()
		default:
		}
		return true
	}
	return false
}

// writeAsLeader writes one batch, the leader's item first.
func (b *Writer[T, R]) writeAsLeader() {
	b.mu.Lock()
	n := b.fits()
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	// Deferred, so that the queue has a leader also after a panic of Write.
	defer func() {
		b.mu.Lock()
		b.handOver()
		b.mu.Unlock()
	}()
	b.writeBatch(batch)
}

// fits is how many of the queued items go into one batch, at least one. The caller holds mu.
func (b *Writer[T, R]) fits() int {
	if b.Weight == nil {
		return min(len(b.queue), b.Limit)
	}
	weight := 0
	for i, p := range b.queue {
		if weight += b.Weight(p.item); weight > b.Limit && i > 0 {
			return i
		}
	}
	return len(b.queue)
}

// handOver makes the first caller of the queue the leader. The caller holds mu.
func (b *Writer[T, R]) handOver() {
	if len(b.queue) == 0 {
		b.queue, b.writing = nil, false
		return
	}
	close(b.queue[0].leads)
}

func (b *Writer[T, R]) writeBatch(batch []*pending[T, R]) {
	ctx, stop := joinContexts(batch)
	defer stop()
	defer func() {
		for _, p := range batch {
			close(p.done)
		}
	}()
	items := make([]T, len(batch))
	for i, p := range batch {
		// The error stays if Write panics. Without it the other callers would take the zero result for success.
		items[i], p.err = p.item, errUnwritten
	}
	results, err := b.Write(ctx, items)
	if err != nil && errors.Is(context.Cause(ctx), errWriteTimeout) { // drivers say "canceled", which no caller has
		err = fmt.Errorf("%w (%v)", errWriteTimeout, err) //nolint:errorlint // as above
	}
	if err != nil && len(batch) > 1 && b.IsItemError != nil && b.IsItemError(err) {
		for i, p := range batch {
			one, err := b.Write(ctx, items[i:i+1])
			if p.err = err; err == nil {
				p.result = one[0]
			}
		}
		return
	}
	for i, p := range batch {
		if p.err = err; err == nil {
			p.result = results[i]
		}
	}
}

// joinContexts returns a context that ends when those of all callers of a batch have ended, or when the write takes too
// long. If all of them have a deadline it has the latest, which is all that a client of Redis looks at while it waits
// for an answer.
func joinContexts[T, R any](batch []*pending[T, R]) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	timed, timedOut := ctx, func() {}
	if latest, ok := lastDeadline(batch); ok {
		timed, timedOut = context.WithDeadline(ctx, latest)
	}
	var left atomic.Int64
	left.Store(int64(len(batch)))
	stops := make([]func() bool, len(batch))
	for i, p := range batch {
		stops[i] = context.AfterFunc(p.ctx, func() {
			// One caller that leaves must not cancel the write of the others.
			if left.Add(-1) == 0 {
				cancel(context.Cause(p.ctx))
			}
		})
	}
	timer := time.AfterFunc(writeTimeout, func() { cancel(errWriteTimeout) })
	return timed, func() {
		timer.Stop()
		for _, stop := range stops {
			stop()
		}
		timedOut()
		cancel(nil)
	}
}

// lastDeadline returns the latest deadline of a batch's callers, or false if one of them has none.
func lastDeadline[T, R any](batch []*pending[T, R]) (latest time.Time, all bool) {
	for _, p := range batch {
		deadline, ok := p.ctx.Deadline()
		if !ok {
			return time.Time{}, false
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return latest, true
}
