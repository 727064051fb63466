package tasking

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
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

// takeover is how the tasks of a dead worker become this worker's own.
type takeover struct {
	dead uuid.UUID     // the worker, or a task that nobody executes
	ttl  time.Duration // of a worker whose heartbeat stands still; 0 if that is not why it counts as dead
	take func(ctx context.Context, tx *models.Tx) ([]*claimed, error)
	note func(tasks int) // is told how many there are
}

// takeOver makes the tasks that t takes this worker's own and ends them, unless that is under way. It does not wait for
// it. If t takes nil there is nothing to do.
func (w *Worker) takeOver(ctx context.Context, l *life, t takeover) {
	if !l.burials.begin(t.dead) {
		return
	}
	l.burials.all.Go(func() {
		defer l.burials.end(t.dead)
		err := w.letOthersWrite(ctx, t.ttl)
		var tasks []*claimed
		if err == nil {
			tasks, err = w.taken(ctx, l, t)
		}
		if err == nil && tasks != nil {
			t.note(len(tasks))
			err = w.deliverOldestSoon(ctx)
			w.buryAll(ctx, l, tasks)
			if err := w.sweepDirs(ctx); err != nil {
				w.log.WarnContext(ctx, "work directories of dead workers stay", "err", err)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "the dead are dealt with later", "id", t.dead, "err", err)
		}
	})
}

// letOthersWrite gives a worker with a TTL that counts as dead on SQLite the chance to prove that it is alive. While
// one transaction writes, every heartbeat waits. So this worker waits for the writer too, and then for as long as the
// other has for a heartbeat.
func (w *Worker) letOthersWrite(ctx context.Context, ttl time.Duration) error {
	if ttl == 0 || w.q.kind == sqldialect.Postgres {
		return nil
	}
	_, err := taskdb.ExecTx(ctx, w.q.db, "UPDATE core_worker SET pulp_last_updated = ? WHERE pulp_id = ?",
		models.Now(), w.id())
	if err != nil {
		return taskdb.Wrap(err, "wait for the others to write")
	}
	timer := time.NewTimer(ttl / 3)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// taken is what t takes in a transaction that has committed. On SQLite it is nothing if the transaction had to wait for
// another one for long: the heartbeat of the dead may have waited too.
func (w *Worker) taken(ctx context.Context, l *life, t takeover) (tasks []*claimed, err error) {
	if !l.burials.enter(ctx) {
		return nil, context.Cause(ctx)
	}
	defer l.burials.leave()
	w.q.at("reap.before")
	began := time.Now()
	err = taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) (err error) {
		w.forget(tasks) // of an attempt that was rolled back
		tasks = nil
		if t.ttl > 0 && w.q.kind == sqldialect.SQLite && time.Since(began) > t.ttl/6 {
			return nil
		}
		tasks, err = t.take(ctx, tx)
		return err
	})
	if err != nil {
		w.forget(tasks)
		return nil, taskdb.Wrap(err, "take over tasks of the dead")
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
