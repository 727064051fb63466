package tasking

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// noBeat is what an observation has of a worker without a row.
const noBeat = -1

// observeOrphans ends running tasks whose worker has had no row for a TTL. A worker that slept while it claimed a task
// leaves one: by the time of its claim it had been given up for dead, with the tasks that it had until then.
func (w *Worker) observeOrphans(ctx context.Context, l *life) error {
	var owners []uuid.UUID
	err := w.q.db.Bun().NewRaw(`SELECT DISTINCT worker_id FROM core_task WHERE state IN ('running', 'canceling')
		AND NOT EXISTS (SELECT 1 FROM core_worker w WHERE w.pulp_id = core_task.worker_id)`).Scan(ctx, &owners)
	if err != nil {
		return wrap(err, "look for tasks without a worker")
	}
	now, seen := time.Now(), map[uuid.UUID]bool{}
	for _, id := range owners {
		seen[id] = true
		o, ok := l.observed[id]
		switch {
		case !ok || o.beat != noBeat:
			l.observed[id] = observation{noBeat, now}
		case now.Sub(o.since) >= w.opts.TTL:
			if err := w.buryOrphans(ctx, l, id); err != nil {
				return err
			}
		}
	}
	for id, o := range l.observed {
		if !seen[id] && o.beat == noBeat {
			delete(l.observed, id)
		}
	}
	return nil
}

// buryOrphans ends the tasks of a worker without a row.
func (w *Worker) buryOrphans(ctx context.Context, l *life, owner uuid.UUID) error {
	var tasks []*claimed
	err := w.q.tx(ctx, func(tx *models.Tx) (err error) {
		tasks, err = w.take(ctx, tx, "worker_id = ?", owner)
		return err
	})
	if err != nil {
		w.forget(tasks)
		return wrap(err, "take over tasks without a worker")
	}
	delete(l.observed, owner)
	w.log.ErrorContext(ctx, "tasks had no worker", "worker_id", owner, "tasks", len(tasks))
	w.buryAll(ctx, l, tasks)
	return nil
}

func (w *Worker) buryAll(ctx context.Context, l *life, tasks []*claimed) {
	for _, c := range tasks {
		w.bury(ctx, l, c)
	}
}
