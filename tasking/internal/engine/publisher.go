package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

const (
	// eventPace is how long a process waits between two messages with events. The events of that time share one.
	eventPace = 5 * time.Millisecond
	// maxBacklog is how many events wait for the transport at most.
	maxBacklog = 4096
	// eventBatch is how many events one message carries at most.
	eventBatch = 512
)

// publisher sends this process's events to the other processes. A goroutine sends the first event at once, without
// keeping the caller. It ends when the backlog is empty, and close waits for it.
type publisher struct {
	to     transport.Broadcaster
	log    *slog.Logger
	origin string // identifies the messages of this process
	quit   chan struct{}
	sender sync.WaitGroup

	mu      sync.Mutex
	backlog []event.Event
	lost    bool // events were dropped, and no message has reported it yet
	sending bool
	closed  bool
}

func newPublisher(to transport.Broadcaster, log *slog.Logger) *publisher {
	return &publisher{to: to, log: log, origin: uuid.NewString(), quit: make(chan struct{})}
}

// add takes events to publish.
func (p *publisher) add(list []event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed || len(list) == 0:
		return
	case len(p.backlog)+len(list) > maxBacklog:
		// The transport is slower than the events. After a gap readers read the database, so the older events are of no use.
		p.backlog, p.lost = slices.Clone(list), true
	default:
		p.backlog = append(p.backlog, list...)
	}
	if !p.sending {
		p.sending = true
		p.sender.Go(p.send)
	}
}

// send publishes until the backlog is empty.
func (p *publisher) send() {
	for {
		list := p.take()
		if len(list) == 0 {
			return
		}
		pause := eventPace
		if err := p.publish(list); err != nil {
			p.log.Debug("events could not be published in redis", "err", err)
			// While Redis is down the backlog would only grow. Readers learn of the gap from the next message.
			p.dropAll()
			pause = transport.RetryAfter
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		// close cuts the pauses short, and the rest of the backlog is still sent.
		case <-p.quit:
			timer.Stop()
		}
	}
}

// take returns the events of the next message; if there are none, sending ends.
func (p *publisher) take() []event.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.backlog), eventBatch)
	list := p.backlog[:n:n]
	if p.backlog = p.backlog[n:]; len(p.backlog) == 0 {
		p.backlog = nil
	}
	// Set under the lock under which add starts a sender, so that no event stays without one.
	p.sending = len(list) > 0
	if p.sending && p.lost {
		p.lost = false
		list = append([]event.Event{event.OfLoss()}, list...)
	}
	return list
}

// dropAll empties the backlog. The next message reports that events were lost.
func (p *publisher) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backlog, p.lost = nil, true
}

// publish sends one message: a JSON array of the process's origin and the events.
func (p *publisher) publish(list []event.Event) error {
	message := make([]any, 0, len(list)+1)
	message = append(message, p.origin)
	for _, e := range list {
		message = append(message, e)
	}
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return p.to.Publish(context.Background(), transport.Notice{Topic: transport.Events, Payload: string(payload)})
}

// parse returns the events of a message of another process, or none if it cannot parse the message.
func (p *publisher) parse(payload string) []event.Event {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(payload), &parts); err != nil || len(parts) == 0 {
		return nil
	}
	list := make([]event.Event, 0, len(parts)-1)
	for _, raw := range parts[1:] {
		var e event.Event
		if json.Unmarshal(raw, &e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// isOwn reports whether a message was sent by this publisher.
func (p *publisher) isOwn(payload string) bool {
	return strings.HasPrefix(payload, `["`+p.origin+`"`)
}

// close publishes the backlog and takes no more events.
func (p *publisher) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.quit)
	}
	p.mu.Unlock()
	p.sender.Wait()
}
