package tasking

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// claimed is a task with what only its executor needs.
type claimed struct {
	models.Task
	mu          sync.Mutex
	extra       []string  // reserved while it runs
	Seq         int64     `bun:"seq"`
	Args        []byte    `bun:"enc_args"`
	ClaimID     uuid.UUID `bun:"claim_id"`
	MaxAttempts int       `bun:"max_attempts"` // 0 if the dispatch did not say
	Versions    *string   `bun:"versions"`
	Queue       string    `bun:"queue"`
	Trace       *string   `bun:"trace_context"`
}

const claimedColumns = `pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, user_id, logging_cid,
	parent_task_id, task_group_id, reserved_resources, immediate, attempt, worker_id, unblocked_at, started_at,
	seq, enc_args, claim_id, max_attempts, versions, queue, trace_context`

// The rows are locked in the order of their ids, so that two workers that were told about the same tasks cannot wait
// for each other.
const claimSQL = `UPDATE core_task SET state = 'running', worker_id = ?worker, claim_id = ?claim, attempt = attempt + 1,
		started_at = ?now, pulp_last_updated = ?now
	WHERE pulp_id IN (SELECT pulp_id FROM core_task WHERE pulp_id IN (?ids) AND (state = 'waiting') IS TRUE
		AND unblocked_at IS NOT NULL AND (not_before IS NULL OR not_before <= ?now) ORDER BY pulp_id ?lock)
	RETURNING ` + claimedColumns

// write runs statements that need no transaction of their own on Postgres and the one writer on SQLite.
func (q *Queue) write(ctx context.Context, fn func(idb bun.IDB) error) error {
	if q.kind == sqldialect.Postgres {
		return fn(q.db.Bun())
	}
	return taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error { return fn(tx.Bun()) })
}

// claim makes ready tasks a worker's own, all under one claim id, which with the task's id is its fencing token. Those
// that somebody else has, that have ended or are not ready are left out.
func (q *Queue) claim(
	ctx context.Context, idb bun.IDB, ids []uuid.UUID, worker, claim uuid.UUID,
) (map[uuid.UUID]*claimed, error) {
	var list []*claimed
	err := idb.NewRaw(claimSQL, sqldialect.Named{
		"ids": bun.List(ids), "worker": worker, "claim": claim, "now": q.kind.Now(), "lock": q.kind.ForUpdate(),
	}).Scan(ctx, &list)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]*claimed, len(list))
	for _, c := range list {
		found[c.ID] = c
	}
	return found, nil
}

// readClaim returns the running task that has a claim, or nil: the answer to a claim whose own answer got lost.
func (q *Queue) readClaim(ctx context.Context, id, claim uuid.UUID) (*claimed, error) {
	c := new(claimed)
	err := q.db.Bun().NewRaw("SELECT "+claimedColumns+` FROM core_task WHERE pulp_id = ? AND claim_id = ?
		AND state IN ('running', 'canceling')`, id, claim).Scan(ctx, c)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return c, err
}

// claimBatch is how many tasks are claimed in one statement at most.
const claimBatch = 128

// claimOutcome is what became of one claim in a batch.
type claimOutcome struct {
	task *claimed // nil if there was nothing to claim
	err  error    // of the whole statement
	id   uuid.UUID
}

func newClaims(w *Worker) *batch.Writer[uuid.UUID, claimOutcome] {
	return &batch.Writer[uuid.UUID, claimOutcome]{
		Limit: claimBatch, Write: w.writeClaims,
	}
}

// writeClaims claims a batch. Its error is part of the outcomes, together with the claim's id, because the claims may
// have succeeded all the same.
func (w *Worker) writeClaims(ctx context.Context, ids []uuid.UUID) ([]claimOutcome, error) {
	token := uuid.New()
	var found map[uuid.UUID]*claimed
	w.q.tel.batch(ctx, batchClaim, len(ids))
	w.q.at("claim.before")
	err := w.q.write(ctx, func(idb bun.IDB) (err error) {
		found, err = w.q.claim(ctx, idb, ids, w.id(), token)
		return err
	})
	if err == nil {
		w.q.at("claim.committed")
	}
	outcomes := make([]claimOutcome, len(ids))
	seen := make(map[uuid.UUID]bool, len(ids))
	for i, id := range ids {
		if !seen[id] { // a message that came twice in one batch gets it once, or asks for it once after an error
			outcomes[i] = claimOutcome{found[id], err, token}
		}
		seen[id] = true
	}
	return outcomes, nil
}

// claim tries to make a task the worker's own and returns nil if it cannot be claimed. If the answer of the database
// got lost it asks again, until it knows or the worker gives up.
func (w *Worker) claim(l *life, id uuid.UUID) (*claimed, error) {
	ctx := context.Background()
	outcome, err := w.claims.Do(ctx, id)
	if err != nil || outcome.err == nil {
		return outcome.task, err
	}
	var c *claimed
	err = patient(l.abandon, func(error) bool { return false }, func(err error) {
		w.log.Warn("the answer to a claim is asked for again", "task_id", id, "err", err)
	}, func() (err error) {
		c, err = w.q.readClaim(ctx, id, outcome.id)
		return err
	})
	if err == nil && c == nil {
		w.late.add(handedOff{id, outcome.id})
		err = outcome.err // nothing was claimed by now
	}
	return c, err
}

// unclaim gives a task back whose function was not called, as if it had never been claimed; after pause it may be
// claimed again.
func (q *Queue) unclaim(ctx context.Context, c *claimed, pause time.Duration) error {
	return q.putBack(ctx, c, pause, -1)
}

const putBackSQL = `UPDATE core_task SET state = 'waiting', worker_id = NULL, claim_id = NULL, started_at = NULL,
		attempt = attempt + ?count, not_before = ?due, deliver_due = ?due, pulp_last_updated = ?now,
		delivery_gen = delivery_gen + 1
	WHERE pulp_id = ?id AND claim_id = ?claim AND (state = 'running') IS TRUE`

// putBack makes a running task wait again, in its place and with its reservations, until pause is over. count is added
// to its attempts.
//
// Errors: errFenced if it is canceled or not executed under the claim.
func (q *Queue) putBack(ctx context.Context, c *claimed, pause time.Duration, count int) error {
	return taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
		var n int64
		err := execIn(ctx, tx.Bun(), &n, putBackSQL, sqldialect.Named{
			"id": c.ID, "claim": c.ClaimID, "count": count, "due": q.kind.After(pause), "now": q.kind.Now(),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return errFenced
		}
		return endReports(ctx, tx.Bun(), models.Failed, c.ID)
	})
}
