package tasking

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// observation is a heartbeat that was seen, and since when on this process's own clock.
type observation struct {
	beat  int64
	since time.Time
}

// keepReaping ends the tasks of workers whose heartbeat stands still. It trusts no clock but its own and nothing it did
// not see itself: after a failed look it starts to observe anew, so a database that was away kills nobody.
func (w *Worker) keepReaping(ctx context.Context, l *life) {
	ticker := time.NewTicker(w.opts.TTL / 3)
	defer ticker.Stop()
	for {
		dead, err := w.observe(ctx, l)
		if err == nil {
			err = w.observeOrphans(ctx, l)
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "workers cannot be observed", "err", err)
			clear(l.observed)
		}
		for _, d := range dead {
			if err := w.reap(ctx, l, d); err != nil {
				w.log.WarnContext(ctx, "dead worker is dealt with later", "worker_id", d.ID, "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// observe returns the workers whose heartbeat has not changed for their TTL.
func (w *Worker) observe(ctx context.Context, l *life) ([]*models.Worker, error) {
	list, err := w.q.Workers(ctx)
	if err != nil {
		return nil, err
	}
	now, own := time.Now(), w.id()
	var dead []*models.Worker
	seen := map[uuid.UUID]bool{}
	for _, other := range list {
		seen[other.ID] = true
		o, ok := l.observed[other.ID]
		switch {
		case other.ID == own:
		case !ok || o.beat != other.Beat:
			l.observed[other.ID] = observation{other.Beat, now}
		case now.Sub(o.since) >= time.Duration(other.TTL)*time.Millisecond:
			dead = append(dead, other)
		}
	}
	for id, o := range l.observed {
		if !seen[id] && o.beat != noBeat {
			delete(l.observed, id)
		}
	}
	return dead, nil
}

// reap takes over the tasks of a dead worker and ends them.
func (w *Worker) reap(ctx context.Context, l *life, dead *models.Worker) error {
	tasks, err := w.takeTasks(ctx, dead)
	if err != nil || tasks == nil {
		return err
	}
	delete(l.observed, dead.ID)
	w.q.tel.reaped(ctx)
	w.log.WarnContext(ctx, "worker is missing", "worker_id", dead.ID, "name", dead.Name, "tasks", len(tasks))
	w.buryAll(ctx, l, tasks)
	if err := w.sweepDirs(ctx); err != nil {
		w.log.WarnContext(ctx, "work directories of dead workers stay", "err", err)
	}
	return w.deliverOldestSoon(ctx)
}

// takeTasks makes the dead worker's tasks this worker's own, under new claims, so that the dead one, should it only
// have slept, can write nothing more. It returns nil if the worker is not dead or another one is at it.
func (w *Worker) takeTasks(ctx context.Context, dead *models.Worker) ([]*claimed, error) {
	var tasks []*claimed
	err := w.q.tx(ctx, func(tx *models.Tx) error {
		tasks = nil
		var found []uuid.UUID
		err := tx.Bun().NewRaw(`SELECT pulp_id FROM core_worker WHERE pulp_id = ? AND beat = ? ?`,
			dead.ID, dead.Beat, w.q.kind.SkipLocked()).Scan(ctx, &found)
		if err != nil || len(found) == 0 {
			return err
		}
		if tasks, err = w.take(ctx, tx, "worker_id = ?", dead.ID); err != nil {
			return err
		}
		_, err = tx.Bun().NewRaw("DELETE FROM core_worker WHERE pulp_id = ?", dead.ID).Exec(ctx)
		return err
	})
	if err != nil {
		w.forget(tasks)
		return nil, wrap(err, "take over the tasks of worker %s", dead.ID)
	}
	return tasks, nil
}

// take changes the owner and the claims of running tasks. They are locked first, so that two who take the same ones do
// not take them from each other, and one that ends meanwhile is no longer among them.
func (w *Worker) take(ctx context.Context, tx *models.Tx, where string, arg any) ([]*claimed, error) {
	var ids []uuid.UUID
	err := tx.Bun().NewRaw("SELECT pulp_id FROM core_task WHERE "+where+
		" AND state IN ('running', 'canceling') ORDER BY pulp_id ?", arg, w.q.kind.ForUpdate()).Scan(ctx, &ids)
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
			w.forget(tasks)
			return nil, err
		}
	}
	return tasks, nil
}

// takeOver ends one task that is shown as this worker's own.
func (w *Worker) takeOver(ctx context.Context, id uuid.UUID) error {
	var tasks []*claimed
	err := w.q.tx(ctx, func(tx *models.Tx) (err error) {
		tasks, err = w.take(ctx, tx, "pulp_id = ?", id)
		return err
	})
	if err != nil {
		w.forget(tasks)
		return wrap(err, "take over task %s", id)
	}
	w.mu.Lock()
	l := w.life
	w.mu.Unlock()
	for _, c := range tasks {
		w.bury(ctx, l, c)
	}
	return nil
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
