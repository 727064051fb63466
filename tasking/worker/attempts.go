package worker

import (
	"maps"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// attempts are the tasks that a worker deals with: those that it executes, and those of dead workers that it ends.
type attempts struct {
	mu         sync.Mutex
	executed   map[uuid.UUID]*attempt.Attempt
	recovering map[uuid.UUID]bool
}

func newAttempts() *attempts {
	return &attempts{executed: map[uuid.UUID]*attempt.Attempt{}, recovering: map[uuid.UUID]bool{}}
}

// add notes an attempt that begins. An older attempt at the task runs under a claim that the database has forgotten;
// no other part would stop it.
func (s *attempts) add(a *attempt.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.executed[a.Task.ID]; old != nil {
		old.Cancel(engine.ErrFenced)
	}
	s.executed[a.Task.ID] = a
}

// remove forgets an attempt that has ended.
func (s *attempts) remove(a *attempt.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.executed[a.Task.ID] == a {
		delete(s.executed, a.Task.ID)
	}
}

// cancel ends the context of the attempt at a task, if there is one.
func (s *attempts) cancel(task uuid.UUID, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
