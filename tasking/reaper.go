package tasking

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// shortestPause is the least time between two looks, whatever the workers' TTLs are.
const shortestPause = 10 * time.Millisecond

// keepReaping ends the tasks of workers whose heartbeat stands still. It trusts no clock but its own and nothing it did
// not see itself: after a failed look it starts to observe anew, so a database that was away kills nobody.
func (w *Worker) keepReaping(ctx context.Context, l *life) {
	defer l.burials.all.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		pause, err := w.look(ctx, l)
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "workers cannot be observed", "err", err)
			l.watch = newWatch()
		}
		timer.Reset(pause)
	}
}

// look observes all who may be dead, has the tasks of those who are ended, and returns when to look again.
func (w *Worker) look(ctx context.Context, l *life) (pause time.Duration, err error) {
	l.watch.begin()
	ttl, err := w.observeWorkers(ctx, l)
	if err == nil {
		err = w.observeOrphans(ctx, l)
	}
	if err == nil {
		err = w.observeStrangers(ctx, l)
	}
	l.watch.end()
	return max(ttl/3, shortestPause), err
}

// observeWorkers has the tasks of workers ended whose heartbeat has not changed for their TTL. It returns the shortest
// TTL there is.
func (w *Worker) observeWorkers(ctx context.Context, l *life) (shortest time.Duration, err error) {
	shortest = w.opts.TTL
	list, err := w.q.Workers(ctx)
	if err != nil {
		return shortest, err
	}
	own := w.id()
	for _, other := range list {
		ttl := time.Duration(other.TTL) * time.Millisecond
		shortest = min(shortest, ttl)
		if other.ID == own || w.q.silenced(other.ID) || !l.watch.still(other.ID, other.Beat, ttl) {
			continue
		}
		w.takeOver(ctx, l, takeover{
			dead: other.ID, ttl: ttl,
			take: func(ctx context.Context, tx *models.Tx) ([]*claimed, error) { return w.takeFrom(ctx, tx, other) },
			note: func(tasks int) {
				w.q.tel.reaped(ctx)
				w.log.WarnContext(ctx, "worker is missing", "worker_id", other.ID, "name", other.Name, "tasks", tasks)
			},
		})
	}
	return shortest, nil
}

// silenced reports whether a worker of this process runs whose heartbeat says nothing, because on SQLite any long
// transaction holds it up.
func (c *core) silenced(id uuid.UUID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kind == sqldialect.SQLite && c.alive[id]
}

// takeFrom makes the dead worker's tasks this worker's own, under new claims, so that the dead one, should it only
// have slept, can write nothing more. It returns nil if the worker is not dead or another one is at it.
func (w *Worker) takeFrom(ctx context.Context, tx *models.Tx, dead *models.Worker) ([]*claimed, error) {
	var found []uuid.UUID
	err := tx.Bun().NewRaw(`SELECT pulp_id FROM core_worker WHERE pulp_id = ? AND beat = ? ?`,
		dead.ID, dead.Beat, w.q.kind.SkipLocked()).Scan(ctx, &found)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	tasks, err := w.take(ctx, tx, "worker_id = ?", dead.ID)
	if err == nil {
		_, err = tx.Bun().NewRaw("DELETE FROM core_worker WHERE pulp_id = ?", dead.ID).Exec(ctx)
	}
	return tasks, err
}

// take changes the owner and the claims of running tasks. They are locked first, so that two who take the same ones do
// not take them from each other, and one that ends meanwhile is no longer among them. Whatever is returned, with an
// error too, has to be forgotten in the end.
func (w *Worker) take(ctx context.Context, tx *models.Tx, where string, args ...any) ([]*claimed, error) {
	var ids []uuid.UUID
	err := tx.Bun().NewRaw("SELECT pulp_id FROM core_task WHERE "+where+
		" AND state IN ('running', 'canceling') ORDER BY pulp_id ?", append(args, w.q.kind.ForUpdate())...).Scan(ctx, &ids)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	for _, id := range ids {
		w.reaping[id] = true
	}
	w.mu.Unlock()
	tasks := make([]*claimed, len(ids))
	for i, id := range ids {
		c := new(claimed)
		c.ID = id
		tasks[i] = c
	}
	for i, id := range ids {
		c := tasks[i]
		err := tx.Bun().NewRaw(`UPDATE core_task SET worker_id = ?, claim_id = ? WHERE pulp_id = ?
			AND state IN ('running', 'canceling') RETURNING `+claimedColumns, w.id(), uuid.New(), id).Scan(ctx, c)
		if err != nil {
			return tasks, err
		}
	}
	return tasks, nil
}

var errMissing = errors.New("tasking: the task's worker has gone missing")

// bury ends a task whose worker is dead, or lets it run again if its dispatch allows that.
func (w *Worker) bury(ctx context.Context, l *life, c *claimed) {
	defer w.forget([]*claimed{c})
	ctx = w.q.tel.burying(ctx, c)
	env, err := w.newEnv(context.WithValue(ctx, taskKey, c.ID), c)
	if err != nil {
		env.Log.WarnContext(ctx, "incomplete resources of a dead worker's task stay", "err", err)
	}
	env.reported.Store(true) // perhaps
	e := ending{
		state: models.Failed, err: &models.TaskError{Reason: "Worker has gone missing."}, retry: c.retryPause(errMissing),
	}
	w.q.at("reap.taken")
	done, err := w.finish(ctx, l, env, e, nil)
	switch {
	case errors.Is(err, errFenced):
		w.q.tel.buried(ctx, c, outcomeFenced, errFenced)
		env.Log.WarnContext(ctx, "task of a dead worker was taken from this one")
	case err != nil:
		w.q.tel.buried(ctx, c, outcomeUnstored, err)
		env.Log.ErrorContext(ctx, "the end of a dead worker's task could not be stored", "err", err)
	case done.state == models.Waiting:
		w.q.tel.buried(ctx, c, outcomeRetried, errMissing)
		env.Log.WarnContext(ctx, "task of a dead worker runs again")
	default:
		w.q.tel.buried(ctx, c, outcome(done.state), errMissing)
		level := slog.LevelError
		if done.state == models.Canceled {
			level = slog.LevelWarn
		}
		env.Log.Log(ctx, level, "task of a dead worker was ended", "state", string(done.state))
		w.q.emit(taskEvent(&c.Task, done.state))
		w.q.deliver(ctx, done.ready...)
	}
}

func (w *Worker) forget(tasks []*claimed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range tasks {
		delete(w.reaping, c.ID)
	}
}
