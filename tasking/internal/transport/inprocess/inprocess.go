// Package inprocess is the transport of an installation of one process. It carries no messages, only wake-ups: its
// consumers read the ready tasks from the database, oldest first, when they are woken, and else four times a second. So
// a lost wake-up delays a task by that time at most, and ready tasks are not kept in memory.
package inprocess

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// pollInterval is how often an idle consumer looks for ready tasks.
const pollInterval = 250 * time.Millisecond

// Source returns the ready tasks of a queue that may begin now, the oldest first. It ends with its first error.
type Source func(ctx context.Context, queue string) iter.Seq2[transport.Message, error]

// Transport is a [transport.Transport] within one process.
type Transport struct {
	source Source
	log    *slog.Logger

	mu        sync.Mutex
	closed    bool
	consumers map[*consumer]struct{}
	handedOut map[messageKey]time.Time // messages that consumers have dealt with or are dealing with; when to forget them
	pruned    time.Time
}

// messageKey identifies a message.
type messageKey struct {
	id  uuid.UUID
	gen int
}

// New returns a transport. It starts no goroutine.
func New(source Source, log *slog.Logger) *Transport {
	return &Transport{
		source: source, log: log, consumers: map[*consumer]struct{}{}, handedOut: map[messageKey]time.Time{},
	}
}

// Announce implements [transport.Transport]. It wakes the consumers of the messages' queues.
func (t *Transport) Announce(_ context.Context, messages []transport.Message) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, errClosed
	}
	for c := range t.consumers {
		for _, m := range messages {
			if m.Queue == c.queue {
				c.wake()
				break
			}
		}
	}
	return len(messages), nil
}

// Consume implements [transport.Transport].
func (t *Transport) Consume(queue string, slots int, handle transport.Handler) transport.Consumer {
	c := newConsumer(t, queue, slots, handle)
	t.mu.Lock()
	t.consumers[c] = struct{}{}
	t.mu.Unlock()
	c.handlers.Go(c.run)
	return c
}

// Down implements [transport.Transport].
func (t *Transport) Down() time.Duration { return 0 }

var errClosed = errors.New("the queue is closed")

// Ping implements [transport.Transport].
func (t *Transport) Ping(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	return nil
}

// Close implements [transport.Transport].
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return nil
}

func (t *Transport) remove(c *consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.consumers, c)
}

// whileHandled is the time to forget a message of which the handler runs.
var whileHandled = time.Unix(1<<40, 0)

// isHandedOut reports whether a consumer has the message or has dealt with it.
func (t *Transport) isHandedOut(key messageKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.handedOut[key])
}

// handOut gives a message to the caller. It reports false if another consumer was faster.
func (t *Transport) handOut(key messageKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.handedOut[key]) {
		return false
	}
	if now.Sub(t.pruned) > pollInterval {
		t.pruned = now
		for key, until := range t.handedOut {
			if now.After(until) {
				delete(t.handedOut, key)
			}
		}
	}
	t.handedOut[key] = whileHandled
	return true
}

// settle notes that a message is dealt with. Another consumer may have read the task from the database before that and
// come to it later, so the message is remembered for longer than a consumer trusts what it has read.
func (t *Transport) settle(key messageKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handedOut[key] = time.Now().Add(2 * pollInterval)
}

// giveUp lets other consumers have the message.
func (t *Transport) giveUp(key messageKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.handedOut, key)
}

var _ transport.Transport = (*Transport)(nil)
