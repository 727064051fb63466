package inprocess

import (
	"context"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// consumer takes the messages of one queue. One goroutine reads ready tasks and starts a goroutine per handler.
type consumer struct {
	t      *Transport
	queue  string
	handle transport.Handler
	slots  chan struct{} // one token per handler that runs
	woken  chan struct{}

	stopped  context.Context //nolint:containedctx // ends with Stop
	stop     context.CancelFunc
	handlers sync.WaitGroup // and run

	mu      sync.Mutex
	putBack map[messageKey]time.Time // when the handler wants messages again
}

func newConsumer(t *Transport, queue string, slots int, handle transport.Handler) *consumer {
	c := &consumer{
		t: t, queue: queue, handle: handle, slots: make(chan struct{}, slots), woken: make(chan struct{}, 1),
		putBack: map[messageKey]time.Time{},
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	return c
}

// wake ends the current wait, or the next one at once.
func (c *consumer) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Stop implements [transport.Consumer].
func (c *consumer) Stop() {
	c.t.remove(c)
	c.stop()
}

// Close implements [transport.Consumer].
func (c *consumer) Close() { c.handlers.Wait() }

func (c *consumer) run() {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for c.stopped.Err() == nil {
		if c.poll() {
			continue
		}
		select {
		case <-c.woken:
		case <-ticker.C:
		case <-c.stopped.Done():
		}
	}
}

// poll hands out the ready tasks, and waits for a slot for each. It reports true if it ended because what it had read
// is too old: other tasks may have become ready that come first, and these may have been claimed.
func (c *consumer) poll() (again bool) {
	began := time.Now()
	handedOut := 0
	c.forgetPutBack(began)
	for m, err := range c.t.source(c.stopped, c.queue) {
		if err != nil {
			if c.stopped.Err() == nil {
				c.t.log.Warn("ready tasks could not be read; it is tried again", "queue", c.queue, "err", err)
			}
			return false
		}
		if c.isPutBack(m) || c.t.isHandedOut(keyOf(m)) {
			continue
		}
		asked := time.Now()
		select {
		case c.slots <- struct{}{}:
		case <-c.stopped.Done():
			return false
		}
		// A database that takes long to answer must not keep the first message from being handed out.
		if tooOld := time.Since(began) > pollInterval; tooOld && (handedOut > 0 || time.Since(asked) > pollInterval) {
			<-c.slots
			return true
		}
		// Another consumer took the message while this one waited for a slot.
		if !c.t.handOut(keyOf(m)) {
			<-c.slots
			continue
		}
		handedOut++
		c.handlers.Go(func() { c.process(m) })
	}
	return false
}

// process calls the handler in the slot that its caller has taken.
func (c *consumer) process(m transport.Message) {
	defer func() { <-c.slots }()
	key := keyOf(m)
	later := c.handle(m)
	if later == nil {
		c.t.settle(key)
		return
	}
	c.mu.Lock()
	c.putBack[key] = time.Now().Add(later.Pause)
	c.mu.Unlock()
	// After the pause is noted, or this consumer could hand the message out again at once.
	c.t.giveUp(key)
}

func (c *consumer) isPutBack(m transport.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.putBack[keyOf(m)])
}

func (c *consumer) forgetPutBack(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, until := range c.putBack {
		if now.After(until) {
			delete(c.putBack, key)
		}
	}
}

func keyOf(m transport.Message) messageKey { return messageKey{m.ID, m.Gen} }
