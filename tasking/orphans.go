package tasking

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// observeOrphans has running tasks ended whose worker has had no row for a TTL. A worker that slept while it claimed a
// task leaves one: by the time of its claim it had been given up for dead, with the tasks that it had until then.
func (w *Worker) observeOrphans(ctx context.Context, l *life) error {
	var owners []uuid.UUID
	err := w.q.db.Bun().NewRaw(`SELECT DISTINCT worker_id FROM core_task WHERE state IN ('running', 'canceling')
		AND NOT EXISTS (SELECT 1 FROM core_worker w WHERE w.pulp_id = core_task.worker_id)`).Scan(ctx, &owners)
	if err != nil {
		return taskdb.Wrap(err, "look for tasks without a worker")
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
// are failed rather than run: they may have had effects. Only those that were claimed late have certainly had none.
func (w *Worker) observeStrangers(ctx context.Context, l *life) error {
	var rows []*claimed
	own := w.id()
	err := w.q.db.Bun().NewRaw(`SELECT pulp_id, claim_id FROM core_task WHERE worker_id = ?
		AND state IN ('running', 'canceling')`, own).Scan(ctx, &rows)
	if err != nil {
		return taskdb.Wrap(err, "look for tasks that nobody executes")
	}
	for _, c := range rows {
		id := c.ID
		w.mu.Lock()
		known := w.reaping[id] || w.runs[id] != nil
		w.mu.Unlock()
		if known || w.unclaimLate(ctx, c) || !l.watch.still(id, noBeat, w.patience) {
			continue
		}
		w.takeOver(ctx, l, takeover{
			dead: id,
			take: func(ctx context.Context, tx *models.Tx) ([]*claimed, error) {
				return w.take(ctx, tx, "pulp_id = ? AND worker_id = ?", id, own) // another one may have it by then
			},
			note: func(int) { w.log.ErrorContext(ctx, "task is nobody's", "task_id", id) },
		})
	}
	return nil
}

// lateClaims are the claims of a worker that got no answer and had changed nothing when the worker asked again. The
// database may still carry them out.
type lateClaims struct {
	mu   sync.Mutex
	made map[handedOff]time.Time
}

// lateClaim is for how long the database may carry out a claim.
const lateClaim = time.Hour

// add notes a claim and forgets those that are over.
func (l *lateClaims) add(c handedOff) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.made, func(_ handedOff, at time.Time) bool { return time.Since(at) > lateClaim })
	if l.made == nil {
		l.made = map[handedOff]time.Time{}
	}
	l.made[c] = time.Now()
}

func (l *lateClaims) has(c handedOff) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.made[c]
	return ok
}

// unclaimLate gives a task back that was claimed after the worker had given up its claim, and reports whether it did. A
// task that is being canceled is left to be ended.
func (w *Worker) unclaimLate(ctx context.Context, c *claimed) bool {
	if !w.late.has(handedOff{c.ID, c.ClaimID}) {
		return false
	}
	err := w.q.unclaim(ctx, c, 0)
	if err == nil {
		w.log.WarnContext(ctx, "task was claimed late and is given back", "task_id", c.ID)
	}
	return err == nil
}
