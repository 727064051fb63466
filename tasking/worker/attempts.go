package worker

import (
	"maps"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// attempts are the tasks that a worker executes, and the tasks of dead workers that it ends.
type attempts struct {
	mu         sync.Mutex
	executed   map[uuid.UUID]*attempt.Attempt
	recovering map[uuid.UUID]bool
}

func newAttempts() *attempts {
	return &attempts{executed: map[uuid.UUID]*attempt.Attempt{}, recovering: map[uuid.UUID]bool{}}
}

// add notes an attempt that begins.
func (s *attempts) add(a *attempt.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// After a failover to a replica that lacks the first claim, this worker may claim the same task again. The old attempt
	// loses its entry here, so neither the heartbeater nor a cancellation would reach it any more.
	if old := s.executed[a.Task.ID]; old != nil {
		old.Cancel(engine.ErrFenced)
	}
	s.executed[a.Task.ID] = a
}

// remove forgets an attempt that has ended.
func (s *attempts) remove(a *attempt.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The entry may belong to a newer attempt at the same task: see add.
	if s.executed[a.Task.ID] == a {
		delete(s.executed, a.Task.ID)
	}
}

// cancel ends the context of the attempt at a task, if there is one.
func (s *attempts) cancel(task uuid.UUID, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A cancellation is broadcast to all processes, so the task usually runs in another worker.
	if a := s.executed[task]; a != nil {
		a.Cancel(cause)
	}
}

// cancelAll ends the contexts of all attempts.
func (s *attempts) cancelAll(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.executed {
		a.Cancel(cause)
	}
}

// list returns the attempts by task.
func (s *attempts) list() map[uuid.UUID]*attempt.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A copy, because the caller queries the database with it while attempts begin and end.
	return maps.Clone(s.executed)
}

// count returns how many tasks are executed.
func (s *attempts) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.executed)
}

// has reports whether the worker executes or ends a task.
func (s *attempts) has(task uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A task under recovery is this worker's in the database and has no attempt here. Without the first condition the
	// reaper would take it for a task that its worker does not execute, and recover it a second time.
	return s.recovering[task] || s.executed[task] != nil
}

// beginRecovery notes tasks of a dead worker, before they become this worker's.
func (s *attempts) beginRecovery(tasks []uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range tasks {
		s.recovering[id] = true
	}
}

// endRecovery forgets them.
func (s *attempts) endRecovery(tasks ...uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range tasks {
		delete(s.recovering, id)
	}
}
