package tasking

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// eventHub passes on, within a process, what happens to tasks. Listeners also read the database now and then, because
// an event may be lost or late.
type eventHub struct {
	mu      sync.Mutex
	waiters map[uuid.UUID]map[chan struct{}]struct{}
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
func (e *eventHub) onCancel(fn func(uuid.UUID)) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancels[&fn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.cancels, &fn)
	}
}

func (e *eventHub) cancel(id uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for fn := range e.cancels {
		(*fn)(id)
	}
}

// deliver passes events on to those who listen in this process.
func (e *eventHub) deliver(list []Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range list {
		if event.State.Final() {
			for ch := range e.waiters[event.TaskID] {
				select {
				case ch <- struct{}{}:
				default:
				}
			}
		}
		for s := range e.readers {
			s.push(event)
		}
	}
}

// heard reports whether anybody listens.
func (e *eventHub) heard() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.waiters) > 0 || len(e.readers) > 0
}

// join delivers to s until the returned function is called.
func (e *eventHub) join(s *Subscription) (leave func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readers[s] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.readers, s)
	}
}

// close ends all subscriptions.
func (e *eventHub) close() {
	e.mu.Lock()
	readers := slices.Collect(maps.Keys(e.readers))
	e.mu.Unlock()
	for _, s := range readers {
		s.Close()
	}
}

// watch returns a channel that receives when the task has ended.
func (e *eventHub) watch(id uuid.UUID) (ch chan struct{}, stop func()) {
	ch = make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiters[id] == nil {
		e.waiters[id] = map[chan struct{}]struct{}{}
	}
	e.waiters[id][ch] = struct{}{}
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.waiters[id], ch)
		if len(e.waiters[id]) == 0 {
			delete(e.waiters, id)
		}
	}
}

const (
	firstLook = 25 * time.Millisecond
	lastLook  = time.Second
)

// Wait returns the task once its state is final. A task that waits for another one keeps its slot meanwhile: when all
// slots are taken by tasks that wait for tasks which have not begun, nothing goes on, and nobody notices. Such tasks
// need workers with more slots than there are of them, or dispatch what comes afterwards as a task of its own.
//
// Errors: NotFound; Conflict if it is called by a task that the other one waits for itself, because of what the first
// one has reserved or over any number of tasks between them, of which those that call Wait must run in this process;
// the cause of ctx.
func (q *Queue) Wait(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	own, inTask := TaskID(ctx)
	if inTask {
		defer q.waits.begin(waitEdge{own, id})()
	}
	ended, stop := q.events.watch(id)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		t, err := q.Get(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil || t.State.Final():
			return t, err
		}
		if inTask {
			if err := q.refuseDeadlock(ctx, waitEdge{own, id}); err != nil {
				return nil, err
			}
			inTask = false
		}
		timer.Reset(pause)
		select {
		case <-ended:
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
