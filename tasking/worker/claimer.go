package worker

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// claimer makes ready tasks the worker's own. Claims that are made at the same time share a statement.
type claimer struct {
	db        *models.DB
	session   *session
	telemetry *engine.Telemetry
	failpoint func(string)
	log       *slog.Logger

	batches batch.Writer[uuid.UUID, claimResult]
	late    lateClaims
}

// maxClaims is how many tasks are claimed in one statement at most.
const maxClaims = 128

// claimResult is the result of one claim in a batch.
type claimResult struct {
	task *taskdb.Claimed // nil if there was nothing to claim
	err  error           // of the whole statement
	id   uuid.UUID       // of the claim
}

func newClaimer(q *engine.Core, s *session, log *slog.Logger) *claimer {
	c := &claimer{db: q.DB, session: s, telemetry: q.Telemetry, failpoint: q.At, log: log}
	c.batches.Limit, c.batches.Write = maxClaims, c.write
	return c
}

// claim tries to make a task the worker's own and returns nil if it cannot be claimed. If the answer of the database is
// lost, it asks until it knows whether the claim succeeded, or until the session is abandoned.
func (c *claimer) claim(id uuid.UUID) (*taskdb.Claimed, error) {
	// Not the context of the message: asynq ends that one when Redis does not answer, which is no reason to give up a
	// claim.
	ctx := context.Background()
	result, err := c.batches.Do(ctx, id)
	if err != nil || result.err == nil {
		return result.task, err
	}
	var t *taskdb.Claimed
	// The database may have executed the claim although its answer was lost. If the worker gave up, the task would be its
	// own in the database and run nowhere (F47).
	err = retryUntil(c.session.abandon, func(error) bool { return false }, func(err error) {
		c.log.Warn("the outcome of a claim could not be read; it is tried again", "task_id", id, "err", err)
	}, func() (err error) {
		t, err = taskdb.ReadClaim(ctx, taskdb.On(c.db), id, result.id)
		return err
	})
	if err == nil && t == nil {
		// The statement may still reach the database. A task that is claimed by it has not run, so the reaper gives it back
		// instead of failing it.
		c.late.add(claimKey{id, result.id})
		err = result.err // the database has not carried the claim out by now
	}
	return t, err
}

// write claims a batch. An error is a part of the results, with the id of the claim, because the claims may have
// succeeded all the same.
func (c *claimer) write(ctx context.Context, ids []uuid.UUID) ([]claimResult, error) {
	// One id for the whole batch: the fencing token is the pair of task and claim.
	claim := uuid.New()
	var found map[uuid.UUID]*taskdb.Claimed
	c.telemetry.Batch(ctx, engine.BatchClaim, len(ids))
	c.failpoint("claim.before")
	err := taskdb.Write(ctx, c.db, func(conn taskdb.Conn) (err error) {
		found, err = taskdb.Claim(ctx, conn, ids, c.session.workerID(), claim)
		return err
	})
	if err == nil {
		c.failpoint("claim.committed")
	}
	results := make([]claimResult, len(ids))
	seen := make(map[uuid.UUID]bool, len(ids))
	for i, id := range ids {
		// Two messages about one task in one batch: only the first gets the claimed task, or it would run twice.
		if !seen[id] {
			results[i] = claimResult{found[id], err, claim}
		}
		seen[id] = true
	}
	return results, nil
}

// release gives a task back whose function was not called, as if it had not been claimed. It may be claimed again after
// pause.
//
// Errors: [taskdb.ErrNotClaimed].
func (c *claimer) release(ctx context.Context, t *taskdb.Claimed, pause time.Duration) error {
	return c.requeue(ctx, t, pause, -1)
}

// requeue lets a task wait for its next attempt; count is added to its attempts.
//
// Errors: [taskdb.ErrNotClaimed], also if the task is being canceled.
func (c *claimer) requeue(ctx context.Context, t *taskdb.Claimed, pause time.Duration, count int) error {
	return taskdb.Tx(ctx, c.db, func(ctx context.Context, tx *models.Tx) error {
		return taskdb.Requeue(ctx, taskdb.On(tx.DB), t, pause, count)
	})
}

// releaseLate gives a task back that the database claimed after the worker had given the claim up, and reports whether
// it did. A task that is being canceled stays.
func (c *claimer) releaseLate(ctx context.Context, id, claim uuid.UUID) bool {
	if !c.late.has(claimKey{id, claim}) {
		return false
	}
	t := &taskdb.Claimed{ClaimID: claim}
	t.ID = id
	// A task that is being canceled cannot wait again: the reaper ends it.
	if err := c.release(ctx, t, 0); err != nil {
		return false
	}
	c.log.WarnContext(ctx, "task was claimed after its worker had given the claim up; it waits again", "task_id", id)
	return true
}

// claimKey is a fencing token: the ids of a task and of a claim on it.
type claimKey struct{ task, claim uuid.UUID }

// lateClaims are claims without an answer that the database had not executed when the worker asked. It may still
// execute them.
type lateClaims struct {
	mu   sync.Mutex
	made map[claimKey]time.Time
}

// lateClaimTime is for how long the database may execute a claim.
const lateClaimTime = time.Hour

func (l *lateClaims) add(c claimKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.made, func(_ claimKey, at time.Time) bool { return time.Since(at) > lateClaimTime })
	if l.made == nil {
		l.made = map[claimKey]time.Time{}
	}
	l.made[c] = time.Now()
}

func (l *lateClaims) has(c claimKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.made[c]
	return ok
}
