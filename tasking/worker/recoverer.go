package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// recoverer ends the tasks of dead workers. A recovery may wait for locks and deletes incomplete resources, so each has
// its own goroutine: a slow one delays neither the others nor the next poll.
type recoverer struct {
	q           *engine.Core
	session     *session
	attempts    *attempts
	environment *attempt.Environment
	completer   *completer
	log         *slog.Logger

	all   sync.WaitGroup
	steps chan struct{} // one token per step that goes on

	mu     sync.Mutex
	active map[uuid.UUID]bool // recoveries by id
}

// maxRecoverySteps bounds the steps at a time, so that other work has connections left.
const maxRecoverySteps = 8

func newRecoverer(
	q *engine.Core, s *session, attempts *attempts, e *attempt.Environment, completer *completer, log *slog.Logger,
) *recoverer {
	return &recoverer{
		q: q, session: s, attempts: attempts, environment: e, completer: completer, log: log,
		steps: make(chan struct{}, maxRecoverySteps), active: map[uuid.UUID]bool{},
	}
}

// recovery is how the tasks of a dead worker become this worker's own.
type recovery struct {
	id  uuid.UUID     // of the worker, or of a task that its worker does not execute
	ttl time.Duration // of a worker whose heartbeat has expired; 0 for other causes
	// adopt calls mark with the tasks before it changes their claims.
	adopt func(ctx context.Context, c taskdb.Conn, mark func([]uuid.UUID)) ([]*taskdb.Claimed, error)
	note  func(tasks int) // logs how many there are
}

// start begins a recovery, unless it is under way, and does not wait for it. If adopt returns nil, the recovery ends.
func (r *recoverer) start(ctx context.Context, v recovery) {
	if !r.begin(v.id) {
		return
	}
	r.all.Go(func() {
		defer r.end(v.id)
		if err := r.recover(ctx, v); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "tasks could not be recovered; the next poll tries it again", "id", v.id, "err", err)
		}
	})
}

// wait waits for all recoveries.
func (r *recoverer) wait() { r.all.Wait() }

func (r *recoverer) begin(id uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[id] {
		return false
	}
	r.active[id] = true
	return true
}

func (r *recoverer) end(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, id)
}

// enter waits until one more step may begin, and reports false if ctx ends before.
func (r *recoverer) enter(ctx context.Context) bool {
	select {
	case r.steps <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *recoverer) leave() { <-r.steps }

// recover adopts the tasks and ends each of them.
func (r *recoverer) recover(ctx context.Context, v recovery) error {
	if err := r.awaitWriters(ctx, v.ttl); err != nil {
		return err
	}
	tasks, err := r.adopt(ctx, v)
	if err != nil || tasks == nil {
		return err
	}
	v.note(len(tasks))
	// The dead worker may have taken messages with it. Redis hands messages out in order, so these are among the oldest.
	err = taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) error {
		return taskdb.MakeOldestDue(ctx, taskdb.On(tx.DB), relayBatch)
	})
	// Also after an error of that transaction: the tasks are this worker's now, and no other worker would end them.
	r.endAll(ctx, tasks)
	// The sweep finds the directories of the dead worker, because its row is gone.
	return errors.Join(taskdb.Wrap(err, "announce the oldest tasks again"), r.environment.Dirs.Sweep(ctx))
}

// awaitWriters gives a worker with an expired heartbeat on SQLite the chance to write one.
func (r *recoverer) awaitWriters(ctx context.Context, ttl time.Duration) error {
	// On Postgres heartbeats do not wait for each other. Without a TTL the recovery has another cause than a heartbeat.
	if ttl == 0 || r.q.Kind == sqldialect.Postgres {
		return nil
	}
	// This write waits for the same writer as the other worker's heartbeat. When it returns, the transaction that delayed
	// both is over.
	if err := taskdb.TouchWorker(ctx, r.q.DB, r.session.workerID()); err != nil {
		return taskdb.Wrap(err, "wait for other writers")
	}
	// A worker writes three heartbeats per TTL, so a live one writes its next within this time.
	timer := time.NewTimer(ttl / 3)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// adopt returns the tasks that became this worker's own. On SQLite it returns nil if its transaction waited for another
// one for long.
func (r *recoverer) adopt(ctx context.Context, v recovery) (tasks []*taskdb.Claimed, err error) {
	if !r.enter(ctx) {
		return nil, context.Cause(ctx)
	}
	defer r.leave()
	r.q.At("reap.before")
	began := time.Now()
	var marked []uuid.UUID
	err = taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) (err error) {
		r.attempts.endRecovery(marked...) // of a transaction that was rolled back
		tasks, marked = nil, nil
		// The heartbeat may have waited for the same transaction, so its value proves no death. The next poll decides anew.
		if v.ttl > 0 && r.q.Kind == sqldialect.SQLite && time.Since(began) > v.ttl/6 {
			return nil
		}
		tasks, err = v.adopt(ctx, taskdb.On(tx.DB), func(ids []uuid.UUID) {
			// Before the commit: from then on the database shows the tasks as this worker's, and the reaper would take them for
			// tasks that it does not execute.
			marked = ids
			r.attempts.beginRecovery(ids)
		})
		return err
	})
	if err != nil {
		r.attempts.endRecovery(marked...)
		return nil, taskdb.Wrap(err, "take over tasks of a dead worker")
	}
	return tasks, nil
}

// endAll ends tasks, a few at a time.
func (r *recoverer) endAll(ctx context.Context, tasks []*taskdb.Claimed) {
	var all sync.WaitGroup
	defer all.Wait()
	for i, t := range tasks {
		if !r.enter(ctx) {
			// The worker shuts down. Its row stays while it owns tasks, so another worker recovers these (F35b).
			for _, t := range tasks[i:] {
				r.attempts.endRecovery(t.ID)
			}
			return
		}
		all.Go(func() {
			defer r.leave()
			r.endTask(ctx, t)
		})
	}
}

var errMissing = errors.New("tasking: the task's worker has gone missing")

// endTask ends a task of a dead worker, or lets it run again if its dispatch allows that.
func (r *recoverer) endTask(ctx context.Context, t *taskdb.Claimed) {
	defer r.attempts.endRecovery(t.ID)
	ctx = engine.WithTaskID(r.q.Telemetry.Reaping(ctx, t), t.ID)
	// An attempt without a time limit and without a function: it only serves to store the end.
	a, err := r.environment.New(ctx, t, 0)
	defer a.Cancel(nil)
	if err != nil {
		a.Log.WarnContext(ctx, "incomplete resources of a dead worker's task could not be removed", "err", err)
	}
	a.SetReported() // the dead worker may have made reports
	o := outcome{
		state: models.Failed, err: &models.TaskError{Reason: "Worker has gone missing."}, retry: retryPause(t, errMissing),
	}
	r.q.At("reap.taken")
	// No chain: a recovery has no slot in which a follower could run.
	done, err := r.completer.complete(ctx, a, o, nil, false)
	switch {
	case errors.Is(err, engine.ErrFenced):
		r.q.Telemetry.ReapEnded(ctx, t, engine.ResultFenced, engine.ErrFenced)
		a.Log.WarnContext(ctx, "task of a dead worker was recovered by another worker")
	case err != nil:
		r.q.Telemetry.ReapEnded(ctx, t, engine.ResultUnstored, err)
		a.Log.ErrorContext(ctx, "the end of a dead worker's task could not be stored", "err", err)
	case done.state == models.Waiting:
		r.q.Telemetry.ReapEnded(ctx, t, engine.ResultRetried, errMissing)
		a.Log.WarnContext(ctx, "task of a dead worker runs again")
	default:
		r.q.Telemetry.ReapEnded(ctx, t, engine.AttemptResult(done.state), errMissing)
		// The end of a canceled task was wanted, so it is no error that its worker died.
		level := slog.LevelError
		if done.state == models.Canceled {
			level = slog.LevelWarn
		}
		a.Log.Log(ctx, level, "task of a dead worker was ended", "state", string(done.state))
		// Before the delivery: a worker could otherwise report the start of a follower before this end.
		r.q.Emit(event.OfTask(&t.Task, done.state))
		r.q.Deliver(ctx, done.ready...)
	}
}
