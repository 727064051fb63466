package tasking

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// observeOrphans has running tasks ended whose worker has had no row for a TTL. A worker that slept while it claimed a
// task leaves one: by the time of its claim it had been given up for dead, with the tasks that it had until then.
func (w *Worker) observeOrphans(ctx context.Context, l *life) error {
	var owners []uuid.UUID
	err := w.q.db.Bun().NewRaw(`SELECT DISTINCT worker_id FROM core_task WHERE state IN ('running', 'canceling')
		AND NOT EXISTS (SELECT 1 FROM core_worker w WHERE w.pulp_id = core_task.worker_id)`).Scan(ctx, &owners)
	if err != nil {
		return wrap(err, "look for tasks without a worker")
	}
	for _, id := range owners {
		if !l.watch.still(id, noBeat, w.opts.TTL) {
			continue
		}
		w.takeOver(ctx, l, takeover{
			dead: id,
			take: func(ctx context.Context, tx *models.Tx) ([]*claimed, error) {
				return w.take(ctx, tx, "worker_id = ?", id)
			},
			note: func(tasks int) { w.log.ErrorContext(ctx, "tasks had no worker", "worker_id", id, "tasks", tasks) },
		})
	}
	return nil
}

// strangerPatience is how long the database may show a task as this worker's own that it does not execute.
const strangerPatience = time.Minute

// observeStrangers has tasks ended that the database shows as this worker's and that the worker does not execute. They
// are failed rather than run: they may have had effects.
func (w *Worker) observeStrangers(ctx context.Context, l *life) error {
	var ids []uuid.UUID
	err := w.q.db.Bun().NewRaw(`SELECT pulp_id FROM core_task WHERE worker_id = ?
		AND state IN ('running', 'canceling')`, w.id()).Scan(ctx, &ids)
	if err != nil {
		return wrap(err, "look for tasks that nobody executes")
	}
	for _, id := range ids {
		w.mu.Lock()
		known := w.reaping[id] || w.runs[id] != nil
		w.mu.Unlock()
		if known || !l.watch.still(id, noBeat, w.patience) {
			continue
		}
		w.takeOver(ctx, l, takeover{
			dead: id,
			take: func(ctx context.Context, tx *models.Tx) ([]*claimed, error) {
				return w.take(ctx, tx, "pulp_id = ?", id)
			},
			note: func(int) { w.log.ErrorContext(ctx, "task is nobody's", "task_id", id) },
		})
	}
	return nil
}
