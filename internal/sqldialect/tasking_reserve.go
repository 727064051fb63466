package sqldialect

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	// allResources is the advisory lock that every transaction shares and that one with very many resources takes for
	// itself instead of one lock per resource, of which the server has a limited number.
	allResources = 0x70756c7074736b // "pulptsk"
	manyLocks    = 200
)

const lockResourcesPostgres = `SELECT CASE WHEN x THEN pg_advisory_xact_lock(k)::text
	ELSE pg_advisory_xact_lock_shared(k)::text END FROM unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x)`

// LockResources orders this transaction with all others that add or remove reservations of the same resources; the
// list must be sorted by key. It comes before any row is locked and before the statement that looks at reservations,
// which needs a snapshot taken after the locks. If patience is not zero, waiting longer is an error that
// [IsRetryable]. On SQLite the transaction itself, begun IMMEDIATE, is that lock.
func (k Kind) LockResources(ctx context.Context, tx bun.IDB, list []Reservation, patience time.Duration) error {
	if k == SQLite {
		return nil
	}
	all := make([]Reservation, 0, len(list)+1)
	all = append(all, Reservation{Key: allResources, Exclusive: len(list) > manyLocks})
	if len(list) <= manyLocks {
		all = append(all, list...)
	}
	args := Named{}
	k.keys(all, args)
	statement := lockResourcesPostgres
	if patience > 0 {
		args["patience"] = patience.Milliseconds()
		statement = "SET LOCAL lock_timeout = ?patience; " + statement
	}
	_, err := tx.NewRaw(statement, args).Exec(ctx)
	return err
}

// NewTask is a task to be inserted. Reservations are sorted by key and have no duplicates.
type NewTask struct {
	ID, DomainID   uuid.UUID
	Name           string
	CID            string
	UserID         *int64
	Parent, Group  *uuid.UUID
	IdempotencyKey *string
	Args           []byte // nil is NULL
	Resources      []string
	Reservations   []Reservation
	Immediate      bool
	Deferred       bool // false cancels the task if it is blocked
	Queue          string
	MaxAttempts    int
	Worker, Claim  *uuid.UUID // who runs it at once if nothing is in its way
	Canceled       bool       // insert it as canceled
	Grace          time.Duration
	CancelReason   string // JSON of its error if it is inserted as canceled
}

// InsertedTask is what became of a [NewTask].
type InsertedTask struct {
	Seq   int64  `bun:"seq"`
	State string `bun:"state"`
	Ready bool   `bun:"ready"` // no other task is in its way
}

const insertTaskColumns = `(seq, pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, user_id,
	logging_cid, parent_task_id, task_group_id, idempotency_key, enc_args, reserved_resources, rkeys, rexcl, immediate,
	deferred, queue, attempt, max_attempts,
	worker_id, claim_id, unblocked_at, deliver_due, started_at, finished_at, error)`

const insertTaskPostgres = `WITH b AS (SELECT nextval('core_task_seq') AS seq, clock_timestamp() AS now, EXISTS (
		SELECT 1 FROM unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x) WHERE
			EXISTS (SELECT 1 FROM core_taskresource o WHERE o.rkey = r.k AND o.exclusive)
			OR (r.x AND EXISTS (SELECT 1 FROM core_taskresource o WHERE o.rkey = r.k AND NOT o.exclusive))) AS blocked),
	s AS (SELECT b.*, CASE WHEN ?canceled OR (blocked AND NOT ?deferred) THEN 'canceled'
		WHEN NOT blocked AND ?worker::uuid IS NOT NULL THEN 'running' ELSE 'waiting' END AS st FROM b),
	t AS (INSERT INTO core_task ` + insertTaskColumns + `
		SELECT seq, ?id, now, now, ?domain, ?name, st, ?user, ?cid, ?parent, ?group, ?idempotency_key, ?args, ?resources,
			?rkeys, ?rexcl, ?immediate, ?deferred, ?queue, CASE WHEN st = 'running' THEN 1 ELSE 0 END, ?max_attempts,
			CASE WHEN st = 'running' THEN ?worker::uuid END, CASE WHEN st = 'running' THEN ?claim::uuid END,
			CASE WHEN NOT blocked AND st <> 'canceled' THEN now END,
			CASE WHEN NOT blocked AND st = 'waiting' THEN now + ?grace * interval '1 millisecond' END,
			CASE WHEN st = 'running' THEN now END, CASE WHEN st = 'canceled' THEN now END,
			CASE WHEN st = 'canceled' THEN ?cancel_reason::jsonb END
		FROM s RETURNING seq, state, unblocked_at IS NOT NULL AS ready),
	r AS (INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
		SELECT k, x, t.seq, ?id::uuid FROM t, unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x) WHERE t.state <> 'canceled')
	SELECT seq, state, ready FROM t`

const insertTaskSQLite = `WITH b AS (SELECT EXISTS (SELECT 1 FROM json_each(?rkeys) q WHERE
		EXISTS (SELECT 1 FROM core_taskresource o WHERE o.rkey = json_extract(q.value, '$[0]') AND o.exclusive = 1)
		OR (json_extract(q.value, '$[1]') = 1 AND EXISTS (SELECT 1 FROM core_taskresource o
			WHERE o.rkey = json_extract(q.value, '$[0]') AND o.exclusive = 0))) AS blocked),
	s AS (SELECT b.*, CASE WHEN ?canceled OR (blocked AND NOT ?deferred) THEN 'canceled'
		WHEN NOT blocked AND ?worker IS NOT NULL THEN 'running' ELSE 'waiting' END AS st FROM b)
	INSERT INTO core_task (` + insertTaskColumnsSQLite + `)
	SELECT ?id, ?now, ?now, ?domain, ?name, st, ?user, ?cid, ?parent, ?group, ?idempotency_key, ?args, ?resources, ?rkeys,
		?immediate, ?deferred, ?queue, CASE WHEN st = 'running' THEN 1 ELSE 0 END, ?max_attempts,
		CASE WHEN st = 'running' THEN ?worker END, CASE WHEN st = 'running' THEN ?claim END,
		CASE WHEN NOT blocked AND st <> 'canceled' THEN ?now END, CASE WHEN NOT blocked AND st = 'waiting' THEN ?due END,
		CASE WHEN st = 'running' THEN ?now END, CASE WHEN st = 'canceled' THEN ?now END,
		CASE WHEN st = 'canceled' THEN ?cancel_reason END
	FROM s WHERE TRUE RETURNING seq, state, unblocked_at IS NOT NULL AS ready`

const insertTaskColumnsSQLite = `pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name, state, user_id,
	logging_cid, parent_task_id, task_group_id, idempotency_key, enc_args, reserved_resources, rkeys, immediate,
	deferred, queue, attempt, max_attempts, worker_id, claim_id, unblocked_at, deliver_due, started_at, finished_at, error`

const insertReservationsSQLite = `INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
	SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?seq, ?id FROM json_each(?rkeys)`

// InsertTask inserts a task and its reservations and decides whether it is ready. [Kind.LockResources] comes first.
func (k Kind) InsertTask(ctx context.Context, tx bun.IDB, t *NewTask) (InsertedTask, error) {
	resources, err := k.texts(t.Resources)
	if err != nil {
		return InsertedTask{}, err
	}
	args := Named{
		"id": t.ID, "domain": t.DomainID, "name": t.Name, "user": t.UserID, "cid": t.CID, "parent": t.Parent,
		"group": t.Group, "idempotency_key": t.IdempotencyKey, "args": t.Args, "resources": resources,
		"immediate": t.Immediate, "deferred": t.Deferred, "queue": t.Queue, "max_attempts": t.MaxAttempts,
		"worker": t.Worker, "claim": t.Claim, "canceled": t.Canceled, "grace": t.Grace.Milliseconds(),
		"cancel_reason": t.CancelReason, "now": k.Now(), "due": k.After(t.Grace),
	}
	k.keys(t.Reservations, args)
	var done InsertedTask
	if k == Postgres {
		err = tx.NewRaw(insertTaskPostgres, args).Scan(ctx, &done)
		return done, err
	}
	if err = tx.NewRaw(insertTaskSQLite, args).Scan(ctx, &done); err != nil || done.State == "canceled" {
		return done, err
	}
	args["seq"] = done.Seq
	_, err = tx.NewRaw(insertReservationsSQLite, args).Exec(ctx)
	return done, err
}

const addReservationPostgres = `WITH
	f AS (SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM core_taskresource WHERE rkey = ?key)),
	r AS (INSERT INTO core_taskresource (rkey, exclusive, seq, task_id) SELECT ?key, TRUE, ?seq, ?id FROM f)
	UPDATE core_task SET rkeys = array_append(rkeys, ?key::bigint), rexcl = array_append(rexcl, TRUE),
		reserved_resources = array_append(reserved_resources, ?name) FROM f WHERE pulp_id = ?id`

const addReservationSQLite = `UPDATE core_task SET rkeys = json_insert(rkeys, '$[#]', json_array(?key, json('true'))),
		reserved_resources = json_insert(reserved_resources, '$[#]', ?name)
	WHERE pulp_id = ?id AND NOT EXISTS (SELECT 1 FROM core_taskresource WHERE rkey = ?key)`

// AddReservation gives a running task one more exclusive reservation, or returns false if any task has one of it.
// [Kind.LockResources] comes first.
func (k Kind) AddReservation(
	ctx context.Context, tx bun.IDB, id uuid.UUID, seq int64, name string, key int64,
) (bool, error) {
	args := Named{"id": id, "seq": seq, "name": name, "key": key}
	statement := addReservationPostgres
	if k == SQLite {
		statement = addReservationSQLite
	}
	res, err := tx.NewRaw(statement, args).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 || k == Postgres {
		return n > 0, err
	}
	_, err = tx.NewRaw(`INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
		VALUES (?key, TRUE, ?seq, ?id)`, args).Exec(ctx)
	return true, err
}
