package engine

import (
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/event"
)

// signals wake the calls of Wait in this process and cancel its running tasks. A signal may be lost or late, so its
// receivers also read the database periodically.
type signals struct {
	mu      sync.Mutex
	waiters map[uuid.UUID]map[chan struct{}]struct{} // by task
	cancels map[*func(uuid.UUID)]struct{}
}

func newSignals() *signals {
	return &signals{
		waiters: map[uuid.UUID]map[chan struct{}]struct{}{},
		cancels: map[*func(uuid.UUID)]struct{}{},
	}
}

// OnCancel calls fn whenever a running task is to be canceled. fn must not block.
func (s *signals) OnCancel(fn func(uuid.UUID)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[&fn] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.cancels, &fn)
	}
}

// cancel passes a cancellation on.
func (s *signals) cancel(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for fn := range s.cancels {
		(*fn)(id)
	}
}

// ended wakes the calls that wait for the end of the tasks of events.
func (s *signals) ended(list []event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range list {
		if !e.State.Final() {
			continue
		}
		for ch := range s.waiters[e.TaskID] {
			select {
			case ch <- struct{}{}:
			default: // it has a signal already
			}
		}
	}
}

// hasWaiters reports whether the end of a task would be noticed.
func (s *signals) hasWaiters() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiters) > 0
}

// watch returns a channel that receives when the task has ended.
func (s *signals) watch(id uuid.UUID) (ch chan struct{}, stop func()) {
	// Room for one signal, which may come while the waiter reads the database.
	ch = make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters[id] == nil {
		s.waiters[id] = map[chan struct{}]struct{}{}
	}
	s.waiters[id][ch] = struct{}{}
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiters[id], ch)
		if len(s.waiters[id]) == 0 {
			delete(s.waiters, id)
		}
	}
}
