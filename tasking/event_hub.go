package tasking

import (
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// eventHub passes events and cancellations on within a process. All of them may be lost or late, so its users also read
// the database now and then.
type eventHub struct {
	mu      sync.Mutex
	waiters map[uuid.UUID]map[chan struct{}]struct{} // by task
	cancels map[*func(uuid.UUID)]struct{}
	readers map[*Subscription]struct{}
}

func newEventHub() *eventHub {
	return &eventHub{
		waiters: map[uuid.UUID]map[chan struct{}]struct{}{},
		cancels: map[*func(uuid.UUID)]struct{}{},
		readers: map[*Subscription]struct{}{},
	}
}

// onCancel calls fn whenever a running task is to be canceled. fn must not block.
func (h *eventHub) onCancel(fn func(uuid.UUID)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancels[&fn] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.cancels, &fn)
	}
}

// cancel passes a cancellation on.
func (h *eventHub) cancel(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for fn := range h.cancels {
		(*fn)(id)
	}
}

// deliver passes events on to the waiters and readers of this process.
func (h *eventHub) deliver(list []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range list {
		if event.State.Final() {
			for ch := range h.waiters[event.TaskID] {
				select {
				case ch <- struct{}{}:
				default:
				}
			}
		}
		for s := range h.readers {
			s.push(event)
		}
	}
}

// hasReaders reports whether an event would be read.
func (h *eventHub) hasReaders() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiters) > 0 || len(h.readers) > 0
}

// join delivers to s until the returned function is called.
func (h *eventHub) join(s *Subscription) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[s] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.readers, s)
	}
}

// close ends all subscriptions.
func (h *eventHub) close() {
	h.mu.Lock()
	readers := slices.Collect(maps.Keys(h.readers))
	h.mu.Unlock()
	for _, s := range readers {
		s.Close()
	}
}

// watch returns a channel that receives when the task has ended.
func (h *eventHub) watch(id uuid.UUID) (ch chan struct{}, stop func()) {
	ch = make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiters[id] == nil {
		h.waiters[id] = map[chan struct{}]struct{}{}
	}
	h.waiters[id][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiters[id], ch)
		if len(h.waiters[id]) == 0 {
			delete(h.waiters, id)
		}
	}
}
