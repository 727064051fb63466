package taskdb

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// BrokenTask is a task that a check found, or a reservation whose task does not exist.
type BrokenTask struct {
	ID   uuid.UUID `bun:"id"`
	Name string    `bun:"name"` // "" if there is no such task
	Key  int64     `bun:"rkey"` // 0 if it is not about one resource
	// Holders is how many tasks have Key at once that must not.
	Holders int64 `bun:"holders"`
}

// A TaskCheck is one statement, so that it sees one state of the database while others go on writing.
type TaskCheck string

// ReservationsOfEndedTasks finds reservations whose task has ended or does not exist.
const ReservationsOfEndedTasks TaskCheck = `SELECT r.task_id AS id, COALESCE(t.name, '') AS name, r.rkey, 0 AS holders
	FROM core_taskresource r LEFT JOIN core_task t ON t.pulp_id = r.task_id
	WHERE t.pulp_id IS NULL OR t.state NOT IN ('waiting', 'running', 'canceling') LIMIT ?limit`

// SurplusReservations finds reservations that their task does not name.
const SurplusReservations TaskCheck = `SELECT r.task_id AS id, t.name, r.rkey, 0 AS holders
	FROM core_taskresource r JOIN core_task t ON t.pulp_id = r.task_id
	WHERE t.state IN ('waiting', 'running', 'canceling') AND (r.seq <> t.seq OR NOT EXISTS (
		SELECT 1 FROM ?own WHERE ?key = r.rkey AND ?exclusive = r.exclusive)) LIMIT ?limit`

// MissingReservations finds reservations that an unfinished task names and does not have.
const MissingReservations TaskCheck = `SELECT t.pulp_id AS id, t.name, ?key AS rkey, 0 AS holders
	FROM core_task t CROSS JOIN ?lateral ?own
	WHERE t.state IN ('waiting', 'running', 'canceling') AND NOT EXISTS (SELECT 1 FROM core_taskresource r
		WHERE r.rkey = ?key AND r.exclusive = ?exclusive AND r.seq = t.seq AND r.task_id = t.pulp_id) LIMIT ?limit`

// ConflictingTasks finds resources that an exclusive holder shares with others, each with the youngest of the tasks
// that may run all the same. It counts per resource: comparing tasks in pairs would take very long where many tasks
// have one resource.
const ConflictingTasks TaskCheck = `SELECT t.pulp_id AS id, t.name, g.rkey, g.holders FROM (
		SELECT r.rkey, max(r.seq) AS last, count(*) AS holders FROM core_taskresource r
		JOIN core_task h ON h.pulp_id = r.task_id
		WHERE h.unblocked_at IS NOT NULL AND h.state IN ('waiting', 'running', 'canceling')
		GROUP BY r.rkey HAVING count(*) > 1 AND count(*) FILTER (WHERE r.exclusive) > 0) g
	JOIN core_taskresource r ON r.rkey = g.rkey AND r.seq = g.last JOIN core_task t ON t.pulp_id = r.task_id
	LIMIT ?limit`

// OwnerlessTasks finds running tasks that no worker has.
const OwnerlessTasks TaskCheck = `SELECT t.pulp_id AS id, t.name, 0 AS rkey, 0 AS holders FROM core_task t
	WHERE t.state IN ('running', 'canceling') AND (t.claim_id IS NULL OR t.unblocked_at IS NULL
		OR NOT EXISTS (SELECT 1 FROM core_worker w WHERE w.pulp_id = t.worker_id)) LIMIT ?limit`

// MiscountedTasks finds tasks that ran without an attempt.
const MiscountedTasks TaskCheck = `SELECT t.pulp_id AS id, t.name, 0 AS rkey, 0 AS holders FROM core_task t
	WHERE t.attempt < 0
		OR t.state IN ('running', 'canceling', 'completed', 'failed') AND (t.attempt < 1 OR t.started_at IS NULL)
	LIMIT ?limit`

// StrandedTasks finds waiting tasks that no task blocks and that were not granted: the ones that [GrantStranded]
// grants.
const StrandedTasks TaskCheck = `SELECT t.pulp_id AS id, t.name, 0 AS rkey, 0 AS holders FROM core_task t
	WHERE t.state = 'waiting' AND t.unblocked_at IS NULL AND NOT EXISTS (?blockers) LIMIT ?limit`

// FindBroken runs a check and returns what it finds, limit rows at most.
func FindBroken(ctx context.Context, c Conn, check TaskCheck, limit int) ([]BrokenTask, error) {
	args := sqldialect.Named{
		"limit": limit, "own": bun.Safe("unnest(t.rkeys, t.rexcl) m(k, x)"), "lateral": bun.Safe("LATERAL"),
		"key": bun.Safe("m.k"), "exclusive": bun.Safe("m.x"), "blockers": bun.Safe(blockersPostgres),
	}
	if c.Kind == sqldialect.SQLite {
		args["own"], args["lateral"] = bun.Safe("json_each(t.rkeys) m"), bun.Safe("")
		args["key"] = bun.Safe("json_extract(m.value, '$[0]')")
		args["exclusive"] = bun.Safe("json_extract(m.value, '$[1]')")
		args["blockers"] = bun.Safe(blockersSQLite)
	}
	var found []BrokenTask
	err := c.NewRaw(string(check), args).Scan(ctx, &found)
	return found, err
}
