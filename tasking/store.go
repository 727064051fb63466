package tasking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// claimed is a task with what only its executor needs.
type claimed struct {
	models.Task
	mu      sync.Mutex
	extra   []string  // reserved while it runs
	Seq     int64     `bun:"seq"`
	Args    []byte    `bun:"enc_args"`
	ClaimID uuid.UUID `bun:"claim_id"`
}

const claimedColumns = `pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, user_id, logging_cid,
	parent_task_id, task_group_id, reserved_resources, immediate, attempt, worker_id, unblocked_at, started_at,
	seq, enc_args, claim_id`

const claimSQL = `UPDATE core_task SET state = 'running', worker_id = ?worker, claim_id = ?claim, attempt = attempt + 1,
		started_at = ?now, pulp_last_updated = ?now
	WHERE pulp_id = ?id AND (state = 'waiting') IS TRUE AND unblocked_at IS NOT NULL
		AND (not_before IS NULL OR not_before <= ?now)
	RETURNING ` + claimedColumns

// write runs statements that need no transaction of their own on Postgres and the one writer on SQLite.
func (q *Queue) write(ctx context.Context, fn func(idb bun.IDB) error) error {
	if q.kind == sqldialect.Postgres {
		return fn(q.db.Bun())
	}
	return q.tx(ctx, func(tx *models.Tx) error { return fn(tx.Bun()) })
}

// claim makes a ready task the worker's own, or returns nil if somebody else has it, it ended or is not ready.
func (q *Queue) claim(ctx context.Context, id, worker, claim uuid.UUID) (*claimed, error) {
	c := new(claimed)
	err := q.write(ctx, func(idb bun.IDB) error {
		return idb.NewRaw(claimSQL, sqldialect.Named{
			"id": id, "worker": worker, "claim": claim, "now": q.kind.Now(),
		}).Scan(ctx, c)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return c, err
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

// errFenced says that a task is no longer this worker's.
var errFenced = errors.New("tasking: the task was taken from this worker")

// fence fails unless the task is still executed under the claim, and keeps it so until the transaction ends. It is
// the last statement of each of a task's transactions: the first would make a cancellation wait for the whole of it.
func fence(kind sqldialect.Kind, id, claim uuid.UUID) func(context.Context, bun.IDB) error {
	return func(ctx context.Context, idb bun.IDB) error {
		var found []int
		err := idb.NewRaw(`SELECT 1 FROM core_task WHERE pulp_id = ? AND claim_id = ?
			AND state IN ('running', 'canceling') ?`, id, claim, kind.ForShare()).Scan(ctx, &found)
		if err == nil && len(found) == 0 {
			return errFenced
		}
		return err
	}
}

// ending is how a task ends.
type ending struct {
	state  models.TaskState // Completed or Failed; a task that was being canceled becomes Canceled instead
	err    *models.TaskError
	result json.RawMessage
}

const finishSQL = `UPDATE core_task SET finished_at = ?now, pulp_last_updated = ?now,
		result = CASE WHEN state = 'running' THEN ?result END, error = CASE WHEN state = 'running' THEN ?error ELSE error END,
		state = CASE WHEN state = 'running' THEN ?state ELSE 'canceled' END
	WHERE pulp_id = ?id AND claim_id = ?claim AND state IN ('running', 'canceling') RETURNING state`

// finish ends a task, releases what it reserved and grants its followers. It may be called again after an error, and
// succeeds if the first call had done its work.
//
// Errors: errFenced.
func (q *Queue) finish(ctx context.Context, c *claimed, e ending) (models.TaskState, error) {
	list := reservations(c.reserved())
	var state models.TaskState
	err := q.tx(ctx, func(tx *models.Tx) error {
		if err := q.kind.LockResources(ctx, tx.Bun(), list, 0); err != nil {
			return err
		}
		var err error
		if state, err = q.finishRow(ctx, tx.Bun(), c, e); err != nil || state == "" {
			return err
		}
		if err := endReports(ctx, tx.Bun(), c.ID, state); err != nil {
			return err
		}
		ready, err := q.kind.Release(ctx, tx.Bun(), c.Seq, list)
		tx.AfterCommit(func() { q.deliver(ctx, ready...) })
		return err
	})
	if err == nil && state == "" {
		return q.finishedBefore(ctx, c)
	}
	return state, err
}

// finishRow returns the final state, or "" if the task is not executed under the claim.
func (q *Queue) finishRow(ctx context.Context, idb bun.IDB, c *claimed, e ending) (models.TaskState, error) {
	text, err := jsonText(e.err)
	if err != nil {
		return "", err
	}
	var result any
	if e.result != nil {
		result = string(e.result)
	}
	var states []models.TaskState
	err = idb.NewRaw(q.kind.JSONCase(finishSQL, "?result", "?error"), sqldialect.Named{
		"id": c.ID, "claim": c.ClaimID, "state": e.state, "error": text, "result": result, "now": q.kind.Now(),
	}).Scan(ctx, &states)
	if err != nil || len(states) == 0 {
		return "", err
	}
	return states[0], nil
}

// finishedBefore tells a task that this worker had ended from one that was taken from it.
func (q *Queue) finishedBefore(ctx context.Context, c *claimed) (models.TaskState, error) {
	var states []models.TaskState
	err := q.db.Bun().NewRaw("SELECT state FROM core_task WHERE pulp_id = ? AND claim_id = ?", c.ID, c.ClaimID).
		Scan(ctx, &states)
	if err != nil {
		return "", err
	}
	if len(states) == 0 || !states[0].Final() {
		return "", errFenced
	}
	return states[0], nil
}

// endReports gives the progress reports that are still running the state of their task.
func endReports(ctx context.Context, idb bun.IDB, task uuid.UUID, state models.TaskState) error {
	_, err := idb.NewRaw(`UPDATE core_progressreport SET state = ?, pulp_last_updated = ?
		WHERE task_id = ? AND state IN ('waiting', 'running')`, state, models.Now(), task).Exec(ctx)
	return err
}

// jsonText returns e as an argument; nil is NULL. NUL bytes, which Postgres cannot store, are left out.
func jsonText(e *models.TaskError) (any, error) {
	if e == nil {
		return nil, nil
	}
	clean := *e
	clean.Description = strings.ReplaceAll(e.Description, "\x00", "")
	clean.Reason = strings.ReplaceAll(e.Reason, "\x00", "")
	if e.Traceback != nil {
		t := strings.ReplaceAll(*e.Traceback, "\x00", "")
		clean.Traceback = &t
	}
	b, err := json.Marshal(clean)
	return string(b), err
}

// deliverAllSoon makes the relay deliver every ready task again.
func (q *Queue) deliverAllSoon(ctx context.Context, idb bun.IDB) error {
	_, err := idb.NewRaw(`UPDATE core_task SET deliver_due = ? WHERE state = 'waiting' AND unblocked_at IS NOT NULL`,
		q.kind.Now()).Exec(ctx)
	return err
}

// patient calls fn until it succeeds, fails for a reason that will not go away, or give is closed.
func patient(give <-chan struct{}, permanent func(error) bool, failed func(error), fn func() error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := fn()
		if err == nil || permanent(err) {
			return err
		}
		failed(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-give:
			timer.Stop()
			return err
		}
	}
}
