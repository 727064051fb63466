package tasking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// batcher writes items of many callers together: what arrives while one batch is being written forms the next one.
// There is no timer, so an idle system waits for nothing, and no goroutine: whoever comes first writes for all that
// wait by then, and hands over to the first of those who came meanwhile.
type batcher[T, R any] struct {
	limit int         // of the weight of one batch
	weigh func(T) int // nil weighs each item 1
	// write stores a batch and returns a result per item, in their order, or one error for all of them.
	write func(ctx context.Context, items []T) ([]R, error)
	// blames says of an error of a whole batch that it may be the fault of one item; then each is written alone.
	blames func(error) bool

	mu      sync.Mutex
	writing bool
	queue   []*batched[T, R] // each is a caller that waits in do, so it is no longer than there are callers
}

// batched is one item on its way.
type batched[T, R any] struct {
	ctx    context.Context //nolint:containedctx // of the caller, who waits for as long as this lives
	item   T
	result R
	err    error
	done   chan struct{} // closed when result and err are there
	leads  chan struct{} // closed when its caller has to write the next batch
}

// writeTimeout is how long the write of a batch may take: a connection whose other end is gone would otherwise hold up
// all callers for as long as the system keeps it.
const writeTimeout = 30 * time.Second

var (
	errWriteTimeout = fmt.Errorf("tasking: no answer to a write for %v: %w", writeTimeout, pulperr.Unavailable)
	errUnwritten    = errors.New("tasking: the write of the batch panicked")
)

// do writes item in some batch and returns what became of it. If ctx ends while the item is queued, it returns the
// cause and nothing was written. A write that has begun ends early only when the contexts of all its callers have
// ended, or with errWriteTimeout.
func (b *batcher[T, R]) do(ctx context.Context, item T) (R, error) {
	p := &batched[T, R]{ctx: ctx, item: item, done: make(chan struct{}), leads: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, p)
	if !b.writing {
		b.writing = true
		close(p.leads)
	}
	b.mu.Unlock()
	select {
	case <-p.leads:
		b.lead()
	case <-p.done:
	case <-ctx.Done():
		if b.leave(p) {
			var none R
			return none, context.Cause(ctx)
		}
	}
	<-p.done
	return p.result, p.err
}

// leave takes p off the queue, or hands the lead on if p got it meanwhile. It reports false if the caller must wait for
// the write, which ends with its context as well.
func (b *batcher[T, R]) leave(p *batched[T, R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.queue {
		if other != p {
			continue
		}
		b.queue = append(b.queue[:i], b.queue[i+1:]...)
		select {
		case <-p.leads:
			b.handOver()
		default:
		}
		return true
	}
	return false
}

// lead writes one batch, the leader's item first.
func (b *batcher[T, R]) lead() {
	b.mu.Lock()
	n := b.fits()
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.handOver()
		b.mu.Unlock()
	}()
	b.settle(batch)
}

// fits is how many of those that wait go into one batch, at least one. The caller holds mu.
func (b *batcher[T, R]) fits() int {
	if b.weigh == nil {
		return min(len(b.queue), b.limit)
	}
	weight := 0
	for i, p := range b.queue {
		if weight += b.weigh(p.item); weight > b.limit && i > 0 {
			return i
		}
	}
	return len(b.queue)
}

// handOver makes the first that waits the leader. The caller holds mu.
func (b *batcher[T, R]) handOver() {
	if len(b.queue) == 0 {
		b.queue, b.writing = nil, false
		return
	}
	close(b.queue[0].leads)
}

func (b *batcher[T, R]) settle(batch []*batched[T, R]) {
	ctx, stop := together(batch)
	defer stop()
	defer func() {
		for _, p := range batch {
			close(p.done)
		}
	}()
	items := make([]T, len(batch))
	for i, p := range batch {
		items[i], p.err = p.item, errUnwritten
	}
	results, err := b.write(ctx, items)
	if err != nil && errors.Is(context.Cause(ctx), errWriteTimeout) { // drivers say "canceled", which no caller has
		err = fmt.Errorf("%w (%v)", errWriteTimeout, err) //nolint:errorlint // as above
	}
	if err != nil && len(batch) > 1 && b.blames(err) {
		for i, p := range batch {
			one, err := b.write(ctx, items[i:i+1])
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

// together returns a context that ends when those of all callers of a batch have ended, or when the write takes too
// long. If all of them have a deadline it has the latest, which is all that a client of Redis looks at while it waits
// for an answer.
func together[T, R any](batch []*batched[T, R]) (ctx context.Context, stop func()) {
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
func lastDeadline[T, R any](batch []*batched[T, R]) (latest time.Time, all bool) {
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
