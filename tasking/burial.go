package tasking

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// burials are the takeovers that a worker is at. They wait for locks and remove what is incomplete, so each is a
// goroutine, a few of which go on at a time: one that takes long holds up neither the others nor the next look.
type burials struct {
	all  sync.WaitGroup
	some chan struct{} // one token per step that goes on

	mu   sync.Mutex
	dead map[uuid.UUID]bool // who is being dealt with
}

// burialsAtOnce leaves connections of the pool to others.
const burialsAtOnce = 8

func newBurials() burials {
	return burials{some: make(chan struct{}, burialsAtOnce), dead: map[uuid.UUID]bool{}}
}

// enter waits until one more step may go on and reports false if ctx ends before.
func (b *burials) enter(ctx context.Context) bool {
	select {
	case b.some <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *burials) leave() { <-b.some }

// begin reports whether nobody deals with a dead one yet.
func (b *burials) begin(id uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead[id] {
		return false
	}
	b.dead[id] = true
	return true
}

func (b *burials) end(id uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.dead, id)
}

// takeOver makes the tasks that take returns this worker's own and ends them, unless that is under way. It does not
// wait for it. If take returns nil there is nothing to do; otherwise note is told how many there are.
func (w *Worker) takeOver(
	ctx context.Context, l *life, dead uuid.UUID, take func(ctx context.Context, tx *models.Tx) ([]*claimed, error),
	note func(tasks int),
) {
	if !l.burials.begin(dead) {
		return
	}
	l.burials.all.Go(func() {
		defer l.burials.end(dead)
		tasks, err := w.taken(ctx, l, take)
		if err == nil && tasks != nil {
			note(len(tasks))
			err = w.deliverOldestSoon(ctx)
			w.buryAll(ctx, l, tasks)
			if err := w.sweepDirs(ctx); err != nil {
				w.log.WarnContext(ctx, "work directories of dead workers stay", "err", err)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "the dead are dealt with later", "id", dead, "err", err)
		}
	})
}

// taken is what take returns in a transaction that has committed.
func (w *Worker) taken(
	ctx context.Context, l *life, take func(ctx context.Context, tx *models.Tx) ([]*claimed, error),
) (tasks []*claimed, err error) {
	if !l.burials.enter(ctx) {
		return nil, context.Cause(ctx)
	}
	defer l.burials.leave()
	err = w.q.tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		w.forget(tasks) // of an attempt that was rolled back
		tasks, err = take(ctx, tx)
		return err
	})
	if err != nil {
		w.forget(tasks)
		return nil, wrap(err, "take over tasks of the dead")
	}
	return tasks, nil
}

// buryAll ends tasks, a few at a time.
func (w *Worker) buryAll(ctx context.Context, l *life, tasks []*claimed) {
	var all sync.WaitGroup
	defer all.Wait()
	for i, c := range tasks {
		if !l.burials.enter(ctx) {
			w.forget(tasks[i:])
			return
		}
		all.Go(func() {
			defer l.burials.leave()
			w.bury(ctx, l, c)
		})
	}
}
