package event

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// BufferSize is how many events a subscription keeps for a reader that is behind.
const BufferSize = 1024

// Subscription is one reader's view of the events of a domain. It never delays the work that causes them: a reader
// that is more than [BufferSize] events behind finds one of kind [Lost] instead of them. It is safe for concurrent use,
// each event being read once.
type Subscription struct {
	domain uuid.UUID
	hub    *Hub // which delivers to it
	ready  chan struct{}
	closed chan struct{}

	mu     sync.Mutex
	buffer []Event
	ended  bool
}

// Next returns the next event, and waits until there is one.
//
// Errors: the cause of ctx; Unavailable once the subscription or its queue is closed.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := s.pop(); ok {
			return e, nil
		}
		select {
		case <-s.ready:
		case <-s.closed:
			return Event{}, pulperr.Public(pulperr.Unavailable, "the subscription or its queue is closed")
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// All returns the events until ctx is done or the subscription is closed.
func (s *Subscription) All(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := s.Next(ctx)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.hub.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.buffer = true, nil
		close(s.closed)
	}
}

func (s *Subscription) pop() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buffer) == 0 {
		return Event{}, false
	}
	e := s.buffer[0]
	s.buffer = s.buffer[1:]
	if len(s.buffer) > 0 {
		s.signal() // there may be more than one reader
	}
	return e, true
}

// push keeps an event for the reader. If the buffer is full it is emptied.
func (s *Subscription) push(e Event) {
	if e.Kind != Lost && e.DomainID != s.domain {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if len(s.buffer) >= BufferSize {
		// A reader that misses one event has to read the database, so the older ones are of no use to it.
		s.buffer, e = nil, OfLoss()
	}
	s.buffer = append(s.buffer, e)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Hub passes events on to the subscriptions of this process. Its zero value is ready for use. It is safe for concurrent
// use.
type Hub struct {
	mu      sync.Mutex
	readers map[*Subscription]struct{}
}

// Subscribe returns the events of a domain from now on. The caller closes the subscription.
func (h *Hub) Subscribe(domain uuid.UUID) *Subscription {
	s := &Subscription{domain: domain, hub: h, ready: make(chan struct{}, 1), closed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers == nil {
		h.readers = map[*Subscription]struct{}{}
	}
	h.readers[s] = struct{}{}
	return s
}

// Deliver passes events on. It does not wait for the readers.
func (h *Hub) Deliver(list []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.readers {
		for _, e := range list {
			s.push(e)
		}
	}
}

// HasReaders reports whether an event would be read.
func (h *Hub) HasReaders() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers) > 0
}

// Close ends all subscriptions.
func (h *Hub) Close() {
	h.mu.Lock()
	// A copy, because the end of each subscription takes the lock to remove it.
	readers := slices.Collect(maps.Keys(h.readers))
	h.mu.Unlock()
	for _, s := range readers {
		s.Close()
	}
}

func (h *Hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, s)
}
