package taskdb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// ErrNotClaimed is returned where the task is not executed under the caller's claim.
var ErrNotClaimed = errors.New("the task is not executed under this claim")

// Claimed is a task with what only its executor needs.
type Claimed struct {
	models.Task
	Seq         int64     `bun:"seq"`
	Args        []byte    `bun:"enc_args"`
	ClaimID     uuid.UUID `bun:"claim_id"`     // with the task's id the fencing token of an attempt
	MaxAttempts int       `bun:"max_attempts"` // 0 if the dispatch did not set it
	Versions    *string   `bun:"versions"`
	Queue       string    `bun:"queue"`
	Trace       *string   `bun:"trace_context"`
}

const claimedColumns = `pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, user_id, logging_cid,
	parent_task_id, task_group_id, reserved_resources, immediate, attempt, worker_id, unblocked_at, started_at,
	seq, enc_args, claim_id, max_attempts, versions, queue, trace_context`

// The rows are locked in the order of their ids, so that two workers that received the same messages cannot deadlock.
const claimSQL = `UPDATE core_task SET state = 'running', worker_id = ?worker, claim_id = ?claim, attempt = attempt + 1,
		started_at = ?now, pulp_last_updated = ?now
	WHERE pulp_id IN (SELECT pulp_id FROM core_task WHERE pulp_id IN (?ids) AND ` + waiting + `
		AND unblocked_at IS NOT NULL AND ` + mayBegin + ` ORDER BY pulp_id ?lock)
	RETURNING ` + claimedColumns

// Claim makes ready tasks those of a worker, all under one claim. It leaves out tasks that another worker has, that
// have ended or that are not ready. It needs no transaction.
func Claim(ctx context.Context, c Conn, ids []uuid.UUID, worker, claim uuid.UUID) (map[uuid.UUID]*Claimed, error) {
	var list []*Claimed
	err := c.NewRaw(claimSQL, sqldialect.Named{
		"ids": bun.List(ids), "worker": worker, "claim": claim, "now": c.Now(), "lock": c.ForUpdate(),
	}).Scan(ctx, &list)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]*Claimed, len(list))
	for _, t := range list {
		found[t.ID] = t
	}
	return found, nil
}

// ReadClaim returns the running task that has a claim, or nil. After a lost answer it shows whether [Claim] succeeded.
func ReadClaim(ctx context.Context, c Conn, id, claim uuid.UUID) (*Claimed, error) {
	t := new(Claimed)
	err := c.NewRaw("SELECT "+claimedColumns+" FROM core_task WHERE pulp_id = ? AND claim_id = ? AND "+executing,
		id, claim).Scan(ctx, t)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return t, err
}

const requeueSQL = `UPDATE core_task SET state = 'waiting', worker_id = NULL, claim_id = NULL, started_at = NULL,
		attempt = attempt + ?count, not_before = ?due, deliver_due = ?due, pulp_last_updated = ?now,
		delivery_gen = delivery_gen + 1
	WHERE pulp_id = ?id AND claim_id = ?claim AND (state = 'running') IS TRUE`

// Requeue makes a running task wait again, in its place and with its reservations, until pause is over. count is added
// to its attempts: -1 for an attempt that does not count. It needs a transaction.
//
// Errors: [ErrNotClaimed], also if the task is being canceled.
func Requeue(ctx context.Context, c Conn, t *Claimed, pause time.Duration, count int) error {
	// The generation counts up, because asynq may still have the message about this attempt and refuses a second one with
	// its id.
	n, err := Exec(ctx, c, requeueSQL, sqldialect.Named{
		"id": t.ID, "claim": t.ClaimID, "count": count, "due": c.After(pause), "now": c.Now(),
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotClaimed
	}
	// The next attempt makes reports of its own. Those of this one would stay running for ever.
	return EndReports(ctx, c, models.Failed, t.ID)
}

// Adopt makes the running tasks of a worker those of another one, each under a new claim, so that the attempts under
// the old claims cannot commit any more. only, if it is not uuid.Nil, restricts it to one task. It locks the tasks
// first: of two workers that adopt the same tasks one gets them, and a task that ends meanwhile is left out.
//
// locked is called with the ids before the claims change. It needs a transaction.
func Adopt(ctx context.Context, c Conn, from, only, to uuid.UUID, locked func([]uuid.UUID)) ([]*Claimed, error) {
	where := "worker_id = ?from"
	if only != uuid.Nil {
		where += " AND pulp_id = ?only"
	}
	var ids []uuid.UUID
	// In the order in which claims lock tasks, so that the two cannot deadlock.
	err := c.NewRaw("SELECT pulp_id FROM core_task WHERE "+where+" AND "+executing+" ORDER BY pulp_id ?lock",
		sqldialect.Named{"from": from, "only": only, "lock": c.ForUpdate()}).Scan(ctx, &ids)
	if err != nil {
		return nil, err
	}
	locked(ids)
	tasks := make([]*Claimed, len(ids))
	for i, id := range ids {
		// The new claim is the fence against the old worker: if it was only suspended, its transactions fail from now on.
		tasks[i] = new(Claimed)
		err := c.NewRaw("UPDATE core_task SET worker_id = ?, claim_id = ? WHERE pulp_id = ? AND "+executing+
			" RETURNING "+claimedColumns, to, uuid.New(), id).Scan(ctx, tasks[i])
		if err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// Fence fails unless the task is executed under the claim, and keeps it so until the transaction ends. With completing
// a task that this transaction has completed passes too.
//
// Errors: [ErrNotClaimed].
func Fence(ctx context.Context, c Conn, id, claim uuid.UUID, completing bool) error {
	var found []int
	// FOR SHARE: a recovery of the task waits until this transaction has ended (F35), while several transactions of the
	// task do not wait for each other.
	err := c.NewRaw("SELECT 1 FROM core_task WHERE pulp_id = ? AND claim_id = ? AND ("+executing+
		" OR ? AND state = 'completed') ?", id, claim, completing, c.ForShare()).Scan(ctx, &found)
	if err == nil && len(found) == 0 {
		return ErrNotClaimed
	}
	return err
}

// FenceAll is [Fence] for a transaction in which several tasks take part; nil scopes stand for callers that are no
// task.
func FenceAll(ctx context.Context, c Conn, scopes []*models.TaskScope) error {
	type claim struct{ task, claim uuid.UUID }
	claims := map[claim]bool{} // a task has two if an old attempt takes part beside the current one
	for _, s := range scopes {
		if s != nil {
			claims[claim{s.TaskID, s.ClaimID}] = true
		}
	}
	if len(claims) == 0 {
		return nil
	}
	pairs := make([]any, 0, 2*len(claims))
	for c := range claims {
		pairs = append(pairs, c.task, c.claim)
	}
	var found []uuid.UUID
	err := c.NewRaw(`SELECT t.pulp_id FROM core_task t
		JOIN (?) AS v ON v.column1 = t.pulp_id AND v.column2 = t.claim_id
		WHERE (t.state IN ('running', 'canceling')) IS TRUE ORDER BY t.pulp_id ?`,
		bun.SafeQuery(c.Values(len(claims), "uuid", "uuid"), pairs...), c.ForShareOf("t")).Scan(ctx, &found)
	// One lost claim fails the batch. Its writer takes this for the fault of one item and writes each item alone.
	if err == nil && len(found) < len(claims) {
		return ErrNotClaimed
	}
	return err
}
