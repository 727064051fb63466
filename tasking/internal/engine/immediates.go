package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/pulpgo/pulpcore/models"
)

// Immediates are the workers of this process that execute immediate tasks within their dispatch. Its zero value has
// none.
type Immediates struct {
	mu      sync.Mutex
	workers []Immediate
}

// Immediate executes immediate tasks of one worker within their dispatch.
type Immediate interface {
	// Enter takes a slot for one task, or reports false if there is none.
	Enter() bool
	// Dispatch stores a task and executes it in the slot that the caller has taken, if no other task is in its way.
	Dispatch(ctx context.Context, s *Spec) (models.TaskState, error)
}

// Add adds a worker.
func (i *Immediates) Add(w Immediate) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workers = append(i.workers, w)
}

// Remove removes a worker that Add has added.
func (i *Immediates) Remove(w Immediate) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workers = slices.DeleteFunc(i.workers, func(other Immediate) bool { return other == w })
}

// enter returns the first worker that has a slot for one task, or nil. The caller dispatches the task with it.
func (i *Immediates) enter() Immediate {
	i.mu.Lock()
	defer i.mu.Unlock()
	// The first worker may drain or have no slot left while the next one could execute the task.
	for _, w := range i.workers {
		if w.Enter() {
			return w
		}
	}
	return nil
}
