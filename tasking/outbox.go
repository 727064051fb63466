package tasking

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

const (
	// eventPace is how long a process waits between two messages with events; what happens meanwhile shares one.
	eventPace = 5 * time.Millisecond
	// maxBacklog is how many events wait for Redis at most.
	maxBacklog = 4096
	// eventBatch is how many events one message carries at most.
	eventBatch = 512
)

// outbox sends this process's events to the others. The first one is sent at once and without holding up its cause; a
// goroutine sends, which lives as long as there is something to send and is waited for by close.
type outbox struct {
	core   *core
	origin string // of this process, by which it knows its own messages
	quit   chan struct{}
	sender sync.WaitGroup

	mu      sync.Mutex
	backlog []Event
	lost    bool // some were thrown away, and nobody knows yet
	sending bool
	closed  bool
}

func newOutbox(c *core) *outbox {
	return &outbox{core: c, origin: uuid.NewString(), quit: make(chan struct{})}
}

func (o *outbox) add(list []Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed || len(list) == 0:
		return
	case len(o.backlog)+len(list) > maxBacklog:
		o.backlog, o.lost = slices.Clone(list), true
	default:
		o.backlog = append(o.backlog, list...)
	}
	if !o.sending {
		o.sending = true
		o.sender.Go(o.send)
	}
}

// send publishes until there is nothing left.
func (o *outbox) send() {
	for {
		list := o.take()
		if len(list) == 0 {
			return
		}
		pause := eventPace
		if err := o.publish(list); err != nil {
			o.core.log.Debug("redis did not take events", "err", err)
			o.fail()
			pause = redisRetry
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-o.quit:
			timer.Stop()
		}
	}
}

// take returns what goes into one message; if that is nothing, sending ends.
func (o *outbox) take() []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.backlog), eventBatch)
	list := o.backlog[:n:n]
	if o.backlog = o.backlog[n:]; len(o.backlog) == 0 {
		o.backlog = nil
	}
	o.sending = len(list) > 0
	if o.sending && o.lost {
		o.lost = false
		list = append([]Event{lostEvent()}, list...)
	}
	return list
}

// fail throws everything away; the next message that goes out says so.
func (o *outbox) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.backlog, o.lost = nil, true
}

func (o *outbox) publish(list []Event) error {
	client, err := o.core.delivery.redis()
	if err != nil {
		return err
	}
	message := make([]any, 0, len(list)+1)
	message = append(message, o.origin)
	for _, e := range list {
		message = append(message, e)
	}
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), enqueueBudget)
	defer cancel()
	return client.Publish(ctx, o.core.channel("event"), payload).Err()
}

// close sends what there is, waits for it and takes no more.
func (o *outbox) close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.quit)
	}
	o.mu.Unlock()
	o.sender.Wait()
}

// listenEvents passes on the events of other processes. One worker of a process does so for all that listen in it; when
// it ends another one goes on.
func (w *Worker) listenEvents(ctx context.Context, _ *life) {
	c := w.q.core
	if c.embedded != nil {
		return
	}
	select {
	case c.listening <- struct{}{}:
		defer func() { <-c.listening }()
	case <-ctx.Done():
		return
	}
	client, err := c.delivery.redis()
	if err != nil {
		return
	}
	sub := client.Subscribe(ctx, c.channel("event"))
	defer sub.Close()
	messages := sub.ChannelWithSubscriptions()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			c.receive(m)
		case <-ctx.Done():
			return
		}
	}
}

// receive delivers the events of a message, which is a JSON array of its origin and events. A subscription that begins,
// also anew after a connection was lost, means that some may be missing.
func (c *core) receive(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		c.events.deliver([]Event{lostEvent()})
	case *redis.Message:
		if !c.events.heard() || strings.HasPrefix(m.Payload, `["`+c.outbox.origin+`"`) {
			return
		}
		var parts []json.RawMessage
		if err := json.Unmarshal([]byte(m.Payload), &parts); err != nil || len(parts) == 0 {
			return // not ours
		}
		list := make([]Event, 0, len(parts)-1)
		for _, raw := range parts[1:] {
			var e Event
			if json.Unmarshal(raw, &e) == nil {
				list = append(list, e)
			}
		}
		c.events.deliver(list)
	}
}
