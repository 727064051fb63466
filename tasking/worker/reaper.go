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

// run observes the heartbeats until ctx is done.
func (r *reaper) run(ctx context.Context) {
	// Recoveries make tasks this worker's own, so they end before Run removes the worker's row.
	defer r.recoverer.wait()
	// The first poll is at once, because observation begins with it: tasks of workers that died before this start are
	// ended a TTL later (F36).
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
			r.log.WarnContext(ctx, "heartbeats of the workers could not be read; observation starts over", "err", err)
			// While the database did not answer, the other workers could not write heartbeats either. All observations start
			// over, or the outage would expire live workers (F46).
			r.observer = liveness.Observer{}
		}
		timer.Reset(pause)
	}
}

// poll observes all owners of tasks, starts the recovery of dead ones, and returns the pause until the next poll.
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
		// The pause between polls follows the shortest TTL of all workers: an API process with a TTL of 120 s would otherwise
		// notice late that a worker with 30 s has died.
		shortest = min(shortest, ttl)
		// A worker does not observe itself: if it cannot write heartbeats, it cancels its own tasks (heartbeater.beat).
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
				r.log.WarnContext(ctx, "heartbeat of a worker has expired; its tasks are ended",
					"worker_id", other.ID, "name", other.Name, "tasks", tasks)
			},
		})
	}
	return shortest, nil
}

// maySilence reports whether an unchanged heartbeat of a worker is no evidence of its death, because the worker runs in
// this process on SQLite.
func (r *reaper) maySilence(id uuid.UUID) bool {
	// A heartbeat on SQLite needs the only writer, which one long transaction of any process may hold for longer than the
	// TTL.
	return r.db.Conn().Kind == sqldialect.SQLite && r.session.live.Has(id)
}

// adoptAll makes the tasks of a dead worker this worker's own and removes the dead one's row. It returns nil if the
// heartbeat has changed or another process recovers the worker.
func (r *reaper) adoptAll(
	ctx context.Context, c taskdb.Conn, dead *models.Worker, mark func([]uuid.UUID),
) ([]*taskdb.Claimed, error) {
	// The lock on the row lets one process recover the worker. The comparison under the lock finds a heartbeat that was
	// written after the last poll.
	silent, err := taskdb.LockSilent(ctx, c, dead.ID, dead.Beat)
	if err != nil || !silent {
		return nil, err
	}
	tasks, err := taskdb.Adopt(ctx, c, dead.ID, uuid.Nil, r.session.workerID(), mark)
	if err == nil {
		// In the same transaction as the new claims: a suspended worker that goes on finds no row at its next heartbeat,
		// stops its tasks and registers again (F34).
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
				// There is no row to lock. Adopt locks the tasks, so that of two processes one gets each of them.
				return taskdb.Adopt(ctx, c, id, uuid.Nil, r.session.workerID(), mark)
			},
			note: func(tasks int) {
				r.log.ErrorContext(ctx, "running tasks had a worker without a row; they are ended",
					"worker_id", id, "tasks", tasks)
			},
		})
	}
	return nil
}

// observeUnattended ends tasks that the database shows as this worker's and that it does not execute.
func (r *reaper) observeUnattended(ctx context.Context) error {
	own := r.session.workerID()
	rows, err := taskdb.OwnedTasks(ctx, taskdb.On(r.db), own)
	if err != nil {
		return taskdb.Wrap(err, "look for tasks that are not executed")
	}
	for _, t := range rows {
		// A task that was claimed late has certainly not run, so it waits again. Any other one fails, because it may have had
		// effects.
		if r.attempts.has(t.ID) || r.claims.releaseLate(ctx, t.ID, t.Claim) ||
			!r.observer.Expired(t.ID, liveness.NoHeartbeat, r.unattended) {
			continue
		}
		r.recoverer.start(ctx, recovery{
			id: t.ID,
			adopt: func(ctx context.Context, c taskdb.Conn, mark func([]uuid.UUID)) ([]*taskdb.Claimed, error) {
				// Another worker may have claimed the task since it was read: the condition on the owner leaves it to that worker.
				return taskdb.Adopt(ctx, c, own, t.ID, r.session.workerID(), mark)
			},
			note: func(int) { r.log.ErrorContext(ctx, "task is not executed by its worker; it is ended", "task_id", t.ID) },
		})
	}
	return nil
}
