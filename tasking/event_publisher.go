package tasking

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

const (
	// eventPace is how long a process waits between two messages with events; what happens meanwhile shares one.
	eventPace = 5 * time.Millisecond
	// maxBacklog is how many events wait for Redis at most.
	maxBacklog = 4096
	// eventBatch is how many events one message carries at most.
	eventBatch = 512
	// publishRetry is how long a process waits after a message that was not published.
	publishRetry = time.Second
)

// eventPublisher publishes the events of this process to the other ones. A goroutine does so while there are events;
// close waits for it. The first event of a while is published at once, without delaying its cause.
type eventPublisher struct {
	transport transport.Transport
	log       *slog.Logger
	origin    string // of this process, by which it recognises its own messages
	quit      chan struct{}
	sender    sync.WaitGroup

	mu      sync.Mutex
	backlog []Event
	lost    bool // events were dropped; the next message tells the other processes
	sending bool
	closed  bool
}

func newEventPublisher(t transport.Transport, log *slog.Logger) *eventPublisher {
	return &eventPublisher{transport: t, log: log, origin: uuid.NewString(), quit: make(chan struct{})}
}

func (o *eventPublisher) add(list []Event) {
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
func (o *eventPublisher) send() {
	for {
		list := o.take()
		if len(list) == 0 {
			return
		}
		pause := eventPace
		if err := o.publish(list); err != nil {
			o.log.Debug("events are not published", "err", err)
			o.fail()
			pause = publishRetry
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
func (o *eventPublisher) take() []Event {
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

// fail drops all events; the next message that is published says so.
func (o *eventPublisher) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.backlog, o.lost = nil, true
}

func (o *eventPublisher) publish(list []Event) error {
	message := make([]any, 0, len(list)+1)
	message = append(message, o.origin)
	for _, e := range list {
		message = append(message, e)
	}
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return o.transport.Publish(context.Background(), transport.Notice{Topic: transport.Events, Payload: string(payload)})
}

// close sends what there is, waits for it and takes no more.
func (o *eventPublisher) close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.quit)
	}
	o.mu.Unlock()
	o.sender.Wait()
}

// decode returns the events of a message of another process. Its own messages and foreign ones have none.
func (o *eventPublisher) decode(payload string) []Event {
	if strings.HasPrefix(payload, `["`+o.origin+`"`) {
		return nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(payload), &parts); err != nil || len(parts) == 0 {
		return nil
	}
	list := make([]Event, 0, len(parts)-1)
	for _, raw := range parts[1:] {
		var e Event
		if json.Unmarshal(raw, &e) == nil {
			list = append(list, e)
		}
	}
	return list
}
