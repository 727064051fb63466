package tasking

import (
	"context"
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
}

func newEvents() *events {
	return &events{
		wakers:  map[*func()]struct{}{},
		waiters: map[uuid.UUID]map[chan struct{}]struct{}{},
		cancels: map[*func(uuid.UUID)]struct{}{},
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

func (e *events) finished(id uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch := range e.waiters[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
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

// Wait returns the task once its state is final.
//
// Errors: NotFound; Conflict if it is called by a task that has reserved what the other one needs; the cause of ctx.
func (q *Queue) Wait(ctx context.Context, id uuid.UUID) (*models.Task, error) {
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
		if err := q.wouldDeadlock(ctx, t); err != nil {
			return nil, err
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
