package asynqredis

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// waker ends the waits of idle consumers.
type waker struct {
	conn *connection
	log  *slog.Logger

	calls atomic.Int64 // of wakeAll that are not published yet

	mu    sync.Mutex
	polls map[*longPoll]struct{} // of this process's consumers
}

// wakeChannel is the channel on which processes wake each other.
const wakeChannel = "wake"

func newWaker(conn *connection, log *slog.Logger) *waker {
	return &waker{conn: conn, log: log, polls: map[*longPoll]struct{}{}}
}

func (w *waker) add(p *longPoll) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polls[p] = struct{}{}
}

func (w *waker) remove(p *longPoll) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.polls, p)
}

// wakeOwn wakes the consumers of this process.
func (w *waker) wakeOwn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.polls {
		p.wake()
	}
}

// wakeAll wakes the consumers of all processes. Of many calls at the same time, one publishes for all. Failures are not
// reported, because a consumer waits for a short time only.
func (w *waker) wakeAll(ctx context.Context) {
	w.wakeOwn()
	if w.calls.Add(1) > 1 {
		return // the call that publishes does so once more
	}
	for {
		// Read before the publication: a call that comes later may be about messages that consumers woken now do not find.
		n := w.calls.Load()
		if err := w.conn.publish(ctx, wakeChannel, ""); err != nil {
			w.log.DebugContext(ctx, "a wake-up could not be published in redis", "err", err)
		}
		if w.calls.CompareAndSwap(n, 0) {
			return
		}
	}
}
