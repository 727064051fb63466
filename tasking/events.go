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

// events are the hints that travel within a process. All of them may be lost or late: whoever listens also looks into
// the database now and then.
type events struct {
	mu      sync.Mutex
	wakers  map[*func()]struct{}
	waiters map[uuid.UUID]map[chan struct{}]struct{}
	cancels map[*func(uuid.UUID)]struct{}
	readers map[*Subscription]struct{}
}

func newEvents() *events {
	return &events{
		wakers:  map[*func()]struct{}{},
		waiters: map[uuid.UUID]map[chan struct{}]struct{}{},
		cancels: map[*func(uuid.UUID)]struct{}{},
		readers: map[*Subscription]struct{}{},
	}
}

// onWake calls fn whenever tasks became ready, until the returned function is called. fn must not block.
func (e *events) onWake(fn func()) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wakers[&fn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.wakers, &fn)
	}
}

// onCancel calls fn whenever a running task is to be canceled. fn must not block.
func (e *events) onCancel(fn func(uuid.UUID)) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancels[&fn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.cancels, &fn)
	}
}

func (e *events) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for fn := range e.wakers {
		(*fn)()
	}
}

func (e *events) cancel(id uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for fn := range e.cancels {
		(*fn)(id)
	}
}

// deliver passes events on to those who listen in this process.
func (e *events) deliver(list []Event) {
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
func (e *events) heard() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.waiters) > 0 || len(e.readers) > 0
}

// join delivers to s until the returned function is called.
func (e *events) join(s *Subscription) (leave func()) {
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
func (e *events) close() {
	e.mu.Lock()
	readers := slices.Collect(maps.Keys(e.readers))
	e.mu.Unlock()
	for _, s := range readers {
		s.Close()
	}
}

// watch returns a channel that receives when the task has ended.
func (e *events) watch(id uuid.UUID) (ch chan struct{}, stop func()) {
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
		defer q.beginWait(waitEdge{own, id})()
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
