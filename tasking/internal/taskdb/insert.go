package taskdb

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

const (
	// allResources is the advisory lock that every transaction shares and that one with very many resources takes for
	// itself instead of one lock per resource, of which the server has a limited number.
	allResources = 0x70756c7074736b // "pulptsk"
	// ManyLocks is how many resources are locked one by one at most.
	ManyLocks = 256
)

// lockList returns the advisory locks for a list of reservations that is sorted by key.
func lockList(list []Reservation) []Reservation {
	all := make([]Reservation, 0, len(list)+1)
	// Every transaction has this lock first, most of them shared. One that has it exclusively needs no other lock.
	all = append(all, Reservation{Key: allResources, Exclusive: LocksAll(list)})
	if !LocksAll(list) {
		all = append(all, list...)
	}
	return all
}

const lockResourcesPostgres = `SELECT CASE WHEN x THEN pg_advisory_xact_lock(k)::text
	ELSE pg_advisory_xact_lock_shared(k)::text END FROM unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x)`

// LockResources orders this transaction with all others that add or remove reservations of the same resources; the
// list must be sorted by key. It comes before any row is locked and before the statement that looks at reservations,
// which needs a snapshot taken after the locks. If the timeout is not zero, waiting longer is an error that
// [sqldialect.IsRetryable]. On SQLite the transaction itself, begun IMMEDIATE, is that lock.
func LockResources(ctx context.Context, c Conn, list []Reservation, timeout time.Duration) error {
	if c.Kind == sqldialect.SQLite {
		return nil
	}
	args := sqldialect.Named{}
	addReservations(c.Kind, lockList(list), args)
	statement := lockResourcesPostgres
	if timeout > 0 {
		args["timeout"] = timeout.Milliseconds()
		// One statement text and so one round trip.
		statement = "SET LOCAL lock_timeout = ?timeout; " + statement
	}
	_, err := c.NewRaw(statement, args).Exec(ctx)
	return err
}

// LocksAll reports whether a transaction with so many reservations locks everything instead of its own resources.
func LocksAll(list []Reservation) bool { return len(list) > ManyLocks }

const tryLockResourcesPostgres = `SELECT k FROM (SELECT set_config('lock_timeout', ?timeout, TRUE)) s
	CROSS JOIN LATERAL (SELECT k, CASE WHEN x THEN pg_try_advisory_xact_lock(k)
		ELSE pg_try_advisory_xact_lock_shared(k) END AS got FROM unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x)) l
	WHERE NOT got`

// TryLockResources is [LockResources] without waiting: it returns the keys of the resources that other transactions
// have locked, all of them if one lock that stands for all is taken. The other resources are locked. The timeout bounds
// how long each further statement waits for a lock on a row, as [sqldialect.Kind.LockTimeout] does.
func TryLockResources(
	ctx context.Context, c Conn, list []Reservation, timeout time.Duration,
) (map[int64]bool, error) {
	if c.Kind == sqldialect.SQLite {
		return nil, nil
	}
	args := sqldialect.Named{"timeout": strconv.FormatInt(timeout.Milliseconds(), 10)}
	addReservations(c.Kind, lockList(list), args)
	var keys []int64
	if err := c.NewRaw(tryLockResourcesPostgres, args).Scan(ctx, &keys); err != nil || len(keys) == 0 {
		return nil, err
	}
	taken := make(map[int64]bool, len(keys))
	for _, key := range keys {
		taken[key] = true
	}
	// Without the shared lock on everything, the locks on single resources do not count.
	if taken[allResources] {
		for _, r := range list {
			taken[r.Key] = true
		}
	}
	return taken, nil
}

// NewTask is a task to be inserted. Reservations are sorted by key and have no duplicates.
type NewTask struct {
	ID, DomainID   uuid.UUID
	Name           string
	CID            string
	UserID         *int64
	Parent, Group  *uuid.UUID
	Schedule       *uuid.UUID
	IdempotencyKey *string
	Args           []byte // nil is NULL
	Versions       *string
	Trace          *string // nil is none
	Resources      []string
	Reservations   []Reservation
	Immediate      bool
	Deferred       bool // false cancels the task if it is blocked
	Queue          string
	MaxAttempts    int
	Worker, Claim  *uuid.UUID // of the worker that executes it at once if no task blocks it
	Canceled       bool       // insert it as canceled
	Grace          time.Duration
	CancelReason   string // JSON of its error if it is inserted as canceled
}

// InsertedTask is the result for a [NewTask].
type InsertedTask struct {
	Seq   int64
	State string
	Ready bool // no other task is in its way
}

// occupancy is what tasks have reserved of a resource.
type occupancy struct {
	Key       int64 `bun:"k"`
	Exclusive bool  `bun:"exclusive"`
	Shared    bool  `bun:"shared"` // only known where it matters
}

// Shared reservations are looked for only on behalf of exclusive ones: a domain has very many of them. In Postgres's
// form the order leaves the planner no choice but the primary key. With EXISTS, and very many tasks that wait for one
// resource, it would expect to meet a row of any resource at once and read the whole table.
const occupiedPostgres = `SELECT k, (SELECT o.seq FROM core_taskresource o WHERE o.rkey = k AND o.exclusive
			ORDER BY o.seq LIMIT 1) IS NOT NULL AS exclusive,
		x AND (SELECT o.seq FROM core_taskresource o WHERE o.rkey = k AND NOT o.exclusive
			ORDER BY o.seq LIMIT 1) IS NOT NULL AS shared
	FROM unnest(?rkeys::bigint[], ?rexcl::bool[]) r(k, x)`

const occupiedSQLite = `SELECT k,
		EXISTS (SELECT 1 FROM core_taskresource o WHERE o.rkey = k AND o.exclusive = 1) AS exclusive,
		x = 1 AND EXISTS (SELECT 1 FROM core_taskresource o WHERE o.rkey = k AND o.exclusive = 0) AS shared
	FROM (SELECT json_extract(value, '$[0]') AS k, json_extract(value, '$[1]') AS x FROM json_each(?rkeys))`

func occupancies(ctx context.Context, c Conn, list []Reservation) (map[int64]occupancy, error) {
	args := sqldialect.Named{}
	addReservations(c.Kind, list, args)
	statement := occupiedPostgres
	if c.Kind == sqldialect.SQLite {
		statement = occupiedSQLite
	}
	var rows []occupancy
	if err := c.NewRaw(statement, args).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	found := make(map[int64]occupancy, len(rows))
	for _, r := range rows {
		found[r.Key] = r
	}
	return found, nil
}

// InsertTasks inserts tasks and their reservations, in this order, and decides which are ready. [LockResources]
// with [Union] of all reservations comes first.
func InsertTasks(ctx context.Context, c Conn, tasks []*NewTask) ([]InsertedTask, error) {
	lists := make([][]Reservation, len(tasks))
	for i, t := range tasks {
		lists[i] = t.Reservations
	}
	// One query for the batch, and the decision in Go: planning a statement that decides takes longer than running it, and
	// both databases share this code.
	occupied, err := occupancies(ctx, c, Union(lists...))
	if err != nil {
		return nil, err
	}
	done := make([]InsertedTask, len(tasks))
	for i, t := range tasks {
		done[i] = t.outcome(occupied)
	}
	if err := insertRows(ctx, c, tasks, done); err != nil {
		return nil, err
	}
	if c.Kind == sqldialect.SQLite {
		// SQLite cannot insert into two tables in one statement.
		err = insertReservations(ctx, c, tasks, done)
	}
	return done, err
}

// outcome decides what becomes of a task, and notes what it reserves for those behind it.
func (t *NewTask) outcome(occupied map[int64]occupancy) InsertedTask {
	blocked := false
	for _, r := range t.Reservations {
		o := occupied[r.Key]
		blocked = blocked || o.Exclusive || r.Exclusive && o.Shared
	}
	done := InsertedTask{State: "waiting", Ready: !blocked}
	switch {
	case t.Canceled, blocked && !t.Deferred:
		// A canceled task reserves no resource, so it blocks no later task of the batch.
		return InsertedTask{State: "canceled"}
	case !blocked && t.Worker != nil:
		done.State = "running"
	}
	for _, r := range t.Reservations {
		o := occupied[r.Key]
		occupied[r.Key] = occupancy{r.Key, o.Exclusive || r.Exclusive, o.Shared || !r.Exclusive}
	}
	return done
}

const insertTasks = `INSERT INTO core_task (?columns, pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, name,
	state, user_id, logging_cid, parent_task_id, task_group_id, schedule_id, idempotency_key, enc_args, versions,
	reserved_resources, immediate, deferred, queue, attempt, max_attempts, worker_id, claim_id, unblocked_at, deliver_due,
	started_at, finished_at, error, trace_context) VALUES ?rows RETURNING pulp_id, seq`

// insertTasksPostgres writes the reservations in the same breath.
const insertTasksPostgres = `WITH t AS (` + insertTasks + `, state, rkeys, rexcl),
	r AS (INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
		SELECT m.k, m.x, t.seq, t.pulp_id FROM t CROSS JOIN LATERAL unnest(t.rkeys, t.rexcl) m(k, x)
		WHERE t.state <> 'canceled')
	SELECT pulp_id, seq FROM t`

const insertTaskRow = `(?own, ?id, ?now, ?now, ?domain, ?name, ?state, ?user, ?cid, ?parent, ?group, ?schedule,
	?idempotency_key, ?args, ?versions, ?resources, ?immediate, ?deferred, ?queue, ?attempt, ?max_attempts, ?worker,
	?claim, ?unblocked, ?due, ?started, ?finished, ?error, ?trace)`

// insertRows writes the rows of tasks and fills in their places in the order. On Postgres it writes what they reserve
// as well.
func insertRows(ctx context.Context, c Conn, tasks []*NewTask, done []InsertedTask) error {
	rows := make(commaList, len(tasks))
	for i, t := range tasks {
		args, err := taskRow(c, t, done[i])
		if err != nil {
			return err
		}
		rows[i] = bun.SafeQuery(insertTaskRow, args)
	}
	statement, columns := insertTasksPostgres, "seq, rkeys, rexcl"
	if c.Kind == sqldialect.SQLite {
		statement, columns = insertTasks, "rkeys" // seq comes by itself
	}
	var inserted []struct {
		ID  uuid.UUID `bun:"pulp_id"`
		Seq int64     `bun:"seq"`
	}
	err := c.NewRaw(statement, sqldialect.Named{"columns": bun.Safe(columns), "rows": rows}).Scan(ctx, &inserted)
	if err != nil {
		return err
	}
	// RETURNING has no defined order.
	seqs := make(map[uuid.UUID]int64, len(inserted))
	for _, row := range inserted {
		seqs[row.ID] = row.Seq
	}
	for i, t := range tasks {
		done[i].Seq = seqs[t.ID]
		// Conflicting tasks run in the order of seq, and the outcomes were decided in the order of the batch.
		if i > 0 && done[i].Seq <= done[i-1].Seq {
			return errDisorder
		}
	}
	return nil
}

// taskRow returns the arguments of a task's row.
func taskRow(c Conn, t *NewTask, done InsertedTask) (sqldialect.Named, error) {
	resources, err := texts(c.Kind, t.Resources)
	if err != nil {
		return nil, err
	}
	args := sqldialect.Named{
		"id": t.ID, "now": c.Now(), "domain": t.DomainID, "name": t.Name, "state": done.State, "user": t.UserID,
		"cid": t.CID, "parent": t.Parent, "group": t.Group, "schedule": t.Schedule, "idempotency_key": t.IdempotencyKey,
		"args": t.Args, "versions": t.Versions, "resources": resources, "immediate": t.Immediate, "deferred": t.Deferred,
		"queue": t.Queue, "attempt": 0, "max_attempts": t.MaxAttempts, "worker": nil, "claim": nil, "unblocked": nil,
		"due": nil, "started": nil, "finished": nil, "error": nil,
		"trace": t.Trace,
	}
	own := sqldialect.Named{}
	addReservations(c.Kind, t.Reservations, own)
	args["own"] = own["rkeys"]
	if c.Kind == sqldialect.Postgres {
		args["own"] = commaList{bun.Safe("nextval('core_task_seq')"), bun.SafeQuery("?rkeys, ?rexcl", own)}
	}
	if done.Ready {
		args["unblocked"] = c.Now()
	}
	switch done.State {
	case "running":
		args["attempt"], args["worker"], args["claim"], args["started"] = 1, t.Worker, t.Claim, c.Now()
	case "canceled":
		args["finished"], args["error"] = c.Now(), t.CancelReason
	default:
		if done.Ready {
			// The dispatcher announces the task after the commit. The relay does so only if no worker has claimed it by then.
			args["due"] = c.After(t.Grace)
		}
	}
	return args, nil
}

// insertReservations writes on SQLite what the tasks reserve that are not canceled.
func insertReservations(ctx context.Context, c Conn, tasks []*NewTask, done []InsertedTask) error {
	var rows commaList
	for i, t := range tasks {
		if done[i].State == "canceled" {
			continue
		}
		for _, r := range t.Reservations {
			rows = append(rows, bun.SafeQuery("(?, ?, ?, ?)", r.Key, r.Exclusive, done[i].Seq, t.ID))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := c.NewRaw("INSERT INTO core_taskresource (rkey, exclusive, seq, task_id) VALUES ?", rows).Exec(ctx)
	return err
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
// [LockResources] comes first.
func AddReservation(
	ctx context.Context, c Conn, id uuid.UUID, seq int64, name string, key int64,
) (bool, error) {
	args := sqldialect.Named{"id": id, "seq": seq, "name": name, "key": key}
	statement := addReservationPostgres
	if c.Kind == sqldialect.SQLite {
		statement = addReservationSQLite
	}
	res, err := c.NewRaw(statement, args).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 || c.Kind == sqldialect.Postgres {
		return n > 0, err
	}
	_, err = c.NewRaw(`INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
		VALUES (?key, TRUE, ?seq, ?id)`, args).Exec(ctx)
	return true, err
}

// OwnsReservation reports whether the task at a place has a resource for itself.
func OwnsReservation(ctx context.Context, c Conn, seq, key int64) (bool, error) {
	var found []int
	err := c.NewRaw("SELECT 1 FROM core_taskresource WHERE rkey = ? AND exclusive = ? AND seq = ?", key, true, seq).
		Scan(ctx, &found)
	return len(found) > 0, err
}
