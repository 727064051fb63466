package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/liveness"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// reaper ends the tasks of workers whose heartbeat has expired, and tasks that no worker executes.
type reaper struct {
	db         *models.DB
	session    *session
	attempts   *attempts
	claims     *claimer
	recoverer  *recoverer
	telemetry  *engine.Telemetry
	log        *slog.Logger
	unattended time.Duration // how long a task may be assigned to this worker without running here

	observer liveness.Observer
}

// minPollPause is the least time between two polls, whatever the TTLs of workers are.
const minPollPause = 10 * time.Millisecond

// unattendedTimeout is how long the database may show a task as a worker's that the worker does not execute.
const unattendedTimeout = time.Minute

// run observes the heartbeats until ctx is done. A failed poll discards all observations, so that a database that was
// away expires no worker.
func (r *reaper) run(ctx context.Context) {
	defer r.recoverer.wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		pause, err := r.poll(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "workers cannot be observed", "err", err)
			r.observer = liveness.Observer{}
		}
		timer.Reset(pause)
	}
}

// poll observes all owners of tasks, starts the recovery of those that are dead, and returns when to poll again.
func (r *reaper) poll(ctx context.Context) (pause time.Duration, err error) {
	r.observer.Begin()
	defer r.observer.End()
	ttl, err := r.observeWorkers(ctx)
	if err == nil {
		err = r.observeOwnerless(ctx)
	}
	if err == nil {
		err = r.observeUnattended(ctx)
	}
	return max(ttl/3, minPollPause), err
}

// observeWorkers recovers the tasks of workers whose heartbeat has not changed for their TTL. It returns the shortest
// TTL of all workers.
func (r *reaper) observeWorkers(ctx context.Context) (shortest time.Duration, err error) {
	shortest = r.session.ttl
	list, err := taskdb.Workers(ctx, taskdb.On(r.db))
	if err != nil {
		return shortest, taskdb.Wrap(err, "list workers")
	}
	own := r.session.workerID()
	for _, other := range list {
		ttl := time.Duration(other.TTL) * time.Millisecond
		shortest = min(shortest, ttl)
		if other.ID == own || r.maySilence(other.ID) || !r.observer.Expired(other.ID, other.Beat, ttl) {
			continue
		}
		r.recoverer.start(ctx, recovery{
			id: other.ID, ttl: ttl,
			adopt: func(ctx context.Context, c taskdb.Conn, mark func([]uuid.UUID)) ([]*taskdb.Claimed, error) {
				return r.adoptAll(ctx, c, other, mark)
			},
			note: func(tasks int) {
				r.telemetry.Reaped(ctx)
				r.log.WarnContext(ctx, "worker is missing", "worker_id", other.ID, "name", other.Name, "tasks", tasks)
			},
		})
	}
	return shortest, nil
}

// maySilence reports whether a worker runs in this process whose heartbeat proves nothing: on SQLite any long
// transaction delays it.
func (r *reaper) maySilence(id uuid.UUID) bool {
	return r.db.Conn().Kind == sqldialect.SQLite && r.session.live.Has(id)
}

// adoptAll makes the tasks of a dead worker this worker's own and removes the dead one's row. It returns nil if the
// heartbeat has changed or another process recovers the worker.
func (r *reaper) adoptAll(
	ctx context.Context, c taskdb.Conn, dead *models.Worker, mark func([]uuid.UUID),
) ([]*taskdb.Claimed, error) {
	silent, err := taskdb.LockSilent(ctx, c, dead.ID, dead.Beat)
	if err != nil || !silent {
		return nil, err
	}
	tasks, err := taskdb.Adopt(ctx, c, dead.ID, uuid.Nil, r.session.workerID(), mark)
	if err == nil {
		err = taskdb.DeleteWorker(ctx, c, dead.ID)
	}
	return tasks, err
}

// observeOwnerless ends running tasks whose worker has had no row for a TTL. A worker that was suspended while it
// claimed a task leaves one: when the claim was made, other processes had recovered the tasks that it had until then.
func (r *reaper) observeOwnerless(ctx context.Context) error {
	owners, err := taskdb.OwnersWithoutRow(ctx, taskdb.On(r.db))
	if err != nil {
		return taskdb.Wrap(err, "look for tasks without a worker")
	}
	for _, id := range owners {
		if !r.observer.Expired(id, liveness.NoHeartbeat, r.session.ttl) {
			continue
		}
		r.recoverer.start(ctx, recovery{
			id: id,
			adopt: func(ctx context.Context, c taskdb.Conn, mark func([]uuid.UUID)) ([]*taskdb.Claimed, error) {
				return taskdb.Adopt(ctx, c, id, uuid.Nil, r.session.workerID(), mark)
			},
			note: func(tasks int) { r.log.ErrorContext(ctx, "tasks had no worker", "worker_id", id, "tasks", tasks) },
		})
	}
	return nil
}

// observeUnattended ends tasks that the database shows as this worker's and that it does not execute. They fail rather
// than run, because they may have had effects. Only a task that was claimed late has certainly had none.
func (r *reaper) observeUnattended(ctx context.Context) error {
	own := r.session.workerID()
	rows, err := taskdb.OwnedTasks(ctx, taskdb.On(r.db), own)
	if err != nil {
		return taskdb.Wrap(err, "look for tasks that are not executed")
	}
	for _, t := range rows {
		if r.attempts.has(t.ID) || r.claims.releaseLate(ctx, t.ID, t.Claim) ||
			!r.observer.Expired(t.ID, liveness.NoHeartbeat, r.unattended) {
			continue
		}
		r.recoverer.start(ctx, recovery{
			id: t.ID,
			adopt: func(ctx context.Context, c taskdb.Conn, mark func([]uuid.UUID)) ([]*taskdb.Claimed, error) {
				return taskdb.Adopt(ctx, c, own, t.ID, r.session.workerID(), mark) // unless it has another owner by then
			},
			note: func(int) { r.log.ErrorContext(ctx, "task is not executed by its worker", "task_id", t.ID) },
		})
	}
	return nil
}
