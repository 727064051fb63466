package taskdb

import (
	"context"
	"math"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// ReadyTask is a task that may run now and has to be delivered.
type ReadyTask struct {
	ID    uuid.UUID `bun:"pulp_id"`
	Queue string    `bun:"queue"`
	Gen   int       `bun:"delivery_gen"`
	// Versions is JSON of the least versions of plugins that a worker needs, by name; nil asks for none.
	Versions *string `bun:"versions"`
}

// Held is what a task at its place in the order has reserved.
type Held struct {
	Seq          int64
	Reservations []Reservation
}

// releasePostgres removes reservations and returns of each resource for which a task might have waited the task that
// has the first exclusive row, even if it is not at the head yet, because another transaction may be removing the rows
// before it; and, where an exclusive row was removed, whether shared rows follow before that one.
const releasePostgres = `WITH
	rm(k, x, seq) AS (SELECT * FROM unnest(?rkeys::bigint[], ?rexcl::bool[], ?seqs::bigint[])),
	gone AS (DELETE FROM core_taskresource r USING rm WHERE r.rkey = rm.k AND r.exclusive = rm.x AND r.seq = rm.seq)
	SELECT g.k, g.seq AS from, h.task_id, COALESCE(h.seq, 9223372036854775807) AS until,
		COALESCE(s.seq < h.seq, s.seq IS NOT NULL) AS shared
	FROM (SELECT k, min(seq) FILTER (WHERE x) AS seq FROM rm GROUP BY k) g
	LEFT JOIN LATERAL (SELECT o.task_id, o.seq FROM core_taskresource o
		WHERE o.rkey = g.k AND o.exclusive AND o.seq <> ALL(?seqs::bigint[]) ORDER BY o.seq LIMIT 1) h ON TRUE
	LEFT JOIN LATERAL (SELECT o.seq FROM core_taskresource o
		WHERE o.rkey = g.k AND NOT o.exclusive AND o.seq > g.seq AND o.seq <> ALL(?seqs::bigint[])
		ORDER BY o.seq LIMIT 1) s ON TRUE
	WHERE h.seq IS NOT NULL OR s.seq IS NOT NULL`

// vacated is a row of releasePostgres.
type vacated struct {
	Key    int64      `bun:"k"`
	From   *int64     `bun:"from"` // the first exclusive row that was removed, if there was one
	TaskID *uuid.UUID `bun:"task_id"`
	Until  int64      `bun:"until"`
	Shared bool       `bun:"shared"`
}

// sharedPostgres returns the tasks with the shared rows of resources between two places. The rows are walked one by
// one, each found by the primary key: the planner would otherwise read the whole table where very many tasks wait for
// one resource.
const sharedPostgres = `WITH RECURSIVE walk AS (
		SELECT *, NULL::uuid AS task_id FROM unnest(?rkeys::bigint[], ?from::bigint[], ?until::bigint[]) q(k, seq, until)
		UNION ALL SELECT w.k, n.seq, w.until, n.task_id FROM walk w
			CROSS JOIN LATERAL (SELECT o.task_id, o.seq FROM core_taskresource o
				WHERE o.rkey = w.k AND NOT o.exclusive AND o.seq > w.seq ORDER BY o.seq LIMIT 1) n
			WHERE n.seq < w.until)
	SELECT DISTINCT task_id FROM walk WHERE task_id IS NOT NULL`

const releaseSQLite = `DELETE FROM core_taskresource WHERE (rkey, exclusive, seq) IN
	(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?rkeys))`

// The lock is a statement of its own, so that the test that follows sees what others committed meanwhile.
const lockFollowersPostgres = `SELECT pulp_id FROM core_task WHERE pulp_id = ANY(?ids::uuid[])
	AND (state = 'waiting') IS TRUE AND unblocked_at IS NULL ORDER BY seq FOR UPDATE`

// blockersPostgres has rows if an earlier task is in the way of task t.
const blockersPostgres = `SELECT 1 FROM unnest(t.rkeys, t.rexcl) m(k, x) WHERE
			(SELECT o.seq FROM core_taskresource o WHERE o.rkey = m.k AND o.exclusive ORDER BY o.seq LIMIT 1) < t.seq
			OR (m.x AND (SELECT o.seq FROM core_taskresource o WHERE o.rkey = m.k AND NOT o.exclusive
				ORDER BY o.seq LIMIT 1) < t.seq)`

const grantPostgres = `UPDATE core_task t SET unblocked_at = clock_timestamp(), deliver_due = ?due
	WHERE t.pulp_id = ANY(?ids::uuid[]) AND (t.state = 'waiting') IS TRUE AND t.unblocked_at IS NULL
		AND NOT EXISTS (` + blockersPostgres + `)
	RETURNING t.pulp_id, t.queue, t.delivery_gen, t.versions`

// blockersSQLite is blockersPostgres.
const blockersSQLite = `SELECT 1 FROM json_each(t.rkeys) m WHERE
			EXISTS (SELECT 1 FROM core_taskresource o
				WHERE o.rkey = json_extract(m.value, '$[0]') AND o.exclusive = 1 AND o.seq < t.seq)
			OR (json_extract(m.value, '$[1]') = 1 AND EXISTS (SELECT 1 FROM core_taskresource o
				WHERE o.rkey = json_extract(m.value, '$[0]') AND o.exclusive = 0 AND o.seq < t.seq))`

const grantSQLite = `UPDATE core_task AS t SET unblocked_at = ?now, deliver_due = ?due
	WHERE pulp_id IN (?candidates) AND state = 'waiting' AND unblocked_at IS NULL AND NOT EXISTS (` + blockersSQLite + `)
	RETURNING pulp_id, queue, delivery_gen, versions`

// followersSQLite are the candidates that releasePostgres and sharedPostgres find.
const followersSQLite = `WITH rm(k, x, seq) AS (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
		json_extract(value, '$[2]') FROM json_each(?rkeys))
	SELECT id FROM (
		SELECT (SELECT o.task_id FROM core_taskresource o WHERE o.rkey = rm.k AND o.exclusive = 1
			ORDER BY o.seq LIMIT 1) AS id FROM rm
		UNION
		SELECT o.task_id FROM (SELECT k, min(seq) AS seq FROM rm WHERE x = 1 GROUP BY k) rm
			JOIN core_taskresource o ON o.rkey = rm.k AND o.exclusive = 0 AND o.seq > rm.seq
			AND o.seq < COALESCE((SELECT f.seq FROM core_taskresource f WHERE f.rkey = rm.k AND f.exclusive = 1
				ORDER BY f.seq LIMIT 1), 9223372036854775807)) WHERE id IS NOT NULL`

// Release removes the reservations of tasks and grants the tasks that no other task blocks any more. The caller has
// called [LockResources] with [Union] of them in the same transaction.
func Release(ctx context.Context, c Conn, held ...Held) ([]ReadyTask, error) {
	args := sqldialect.Named{"now": c.Now(), "due": c.After(DeliveryGrace)}
	addHeld(c.Kind, held, args)
	if c.Kind == sqldialect.SQLite {
		if _, err := c.NewRaw(releaseSQLite, args).Exec(ctx); err != nil {
			return nil, err
		}
		args["candidates"] = bun.SafeQuery(followersSQLite, args)
		return grant(ctx, c, args)
	}
	ids, err := releaseRows(ctx, c, args)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return lockAndGrant(ctx, c, ids, args)
}

// releaseRows removes reservations on Postgres and returns the tasks that may have waited for them.
func releaseRows(ctx context.Context, c Conn, args sqldialect.Named) ([]uuid.UUID, error) {
	var rows []vacated
	if err := c.NewRaw(releasePostgres, args).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	var keys, from, until []int64
	for _, r := range rows {
		if r.TaskID != nil {
			ids = append(ids, *r.TaskID)
		}
		if r.Shared {
			keys, from, until = append(keys, r.Key), append(from, *r.From), append(until, r.Until)
		}
	}
	if len(keys) == 0 {
		// The recursive query runs only where it is needed: for many keys Postgres compiles it (JIT), which takes 16 ms each
		// time.
		return ids, nil
	}
	shared, err := scanIDs(ctx, c, sharedPostgres, sqldialect.Named{
		"rkeys": pgdialect.Array(keys), "from": pgdialect.Array(from), "until": pgdialect.Array(until),
	})
	return append(ids, shared...), err
}

// scanPage reads rows in the order of an index, whatever the database knows of the table.
func scanPage(ctx context.Context, c Conn, statement string, args sqldialect.Named, rows any) error {
	if c.Kind == sqldialect.SQLite {
		return c.NewRaw(statement, args).Scan(ctx, rows)
	}
	// The setting must not stay with a connection of the pool, so it is local to a transaction.
	return c.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := sqldialect.FollowIndex(ctx, c.Kind, tx); err != nil {
			return err
		}
		return tx.NewRaw(statement, args).Scan(ctx, rows)
	})
}

// The page comes first, so that a statement tests no more than a page of tasks, however many wait.
const strandedSQL = `SELECT t.pulp_id, t.seq, NOT EXISTS (?blockers) AS stranded
	FROM (SELECT * FROM core_task WHERE state = 'waiting' AND unblocked_at IS NULL AND seq > ?after
		ORDER BY seq LIMIT ?limit) AS t ORDER BY t.seq`

// Stranded reads waiting tasks that are not granted, at most limit of them, in order from behind the place after. It
// returns the ones that no task blocks, of which there should be none, and the last place that it read; 0 is the end.
func Stranded(ctx context.Context, c Conn, after int64, limit int) ([]uuid.UUID, int64, error) {
	args := sqldialect.Named{"blockers": bun.Safe(blockersPostgres), "after": after, "limit": limit}
	if c.Kind == sqldialect.SQLite {
		args["blockers"] = bun.Safe(blockersSQLite)
	}
	var rows []struct {
		ID       uuid.UUID `bun:"pulp_id"`
		Seq      int64     `bun:"seq"`
		Stranded bool      `bun:"stranded"`
	}
	if err := scanPage(ctx, c, strandedSQL, args, &rows); err != nil {
		return nil, after, err
	}
	last := int64(0)
	if len(rows) == limit {
		last = rows[len(rows)-1].Seq
	}
	var ids []uuid.UUID
	for _, r := range rows {
		if r.Stranded {
			ids = append(ids, r.ID)
		}
	}
	return ids, last, nil
}

// A row that is compared with a row of values is found by the primary key. The page comes first, as above.
const orphanedSQL = `SELECT r.rkey, r.exclusive, r.seq, t.pulp_id IS NULL OR t.state NOT IN ('waiting', 'running',
		'canceling') AS orphaned
	FROM (SELECT * FROM core_taskresource WHERE (rkey, exclusive, seq) > (?key, ?exclusive, ?seq)
			ORDER BY rkey, exclusive, seq LIMIT ?limit) AS r
		LEFT JOIN core_task t ON t.pulp_id = r.task_id
	ORDER BY r.rkey, r.exclusive, r.seq`

// OrphanedReservations reads reservations, at most limit of them, in the order of their key from behind one; nil is the
// first. It returns the ones whose task has ended or does not exist, of which there should be none, each as one Held,
// and the last one that it read; nil is the end.
func OrphanedReservations(
	ctx context.Context, c Conn, after *Held, limit int,
) (orphans []Held, last *Held, err error) {
	if after == nil {
		after = &Held{Reservations: []Reservation{{Key: math.MinInt64 + 1}}} // the least that is a number of 64 bits in SQL
	}
	first := after.Reservations[0]
	args := sqldialect.Named{"key": first.Key, "exclusive": first.Exclusive, "seq": after.Seq, "limit": limit}
	var rows []struct {
		Key       int64 `bun:"rkey"`
		Exclusive bool  `bun:"exclusive"`
		Seq       int64 `bun:"seq"`
		Orphaned  bool  `bun:"orphaned"`
	}
	if err := scanPage(ctx, c, orphanedSQL, args, &rows); err != nil {
		return nil, after, err
	}
	for i, row := range rows {
		held := Held{Seq: row.Seq, Reservations: []Reservation{{Key: row.Key, Exclusive: row.Exclusive}}}
		if row.Orphaned {
			orphans = append(orphans, held)
		}
		if i == limit-1 {
			last = &held
		}
	}
	return orphans, last, nil
}

const removePostgres = `DELETE FROM core_taskresource r
	USING unnest(?rkeys::bigint[], ?rexcl::bool[], ?seqs::bigint[]) rm(k, x, seq)
	WHERE r.rkey = rm.k AND r.exclusive = rm.x AND r.seq = rm.seq`

// RemoveReservations removes reservations without granting the tasks that wait for them.
func RemoveReservations(ctx context.Context, c Conn, list []Held) error {
	args := sqldialect.Named{}
	addHeld(c.Kind, list, args)
	statement := removePostgres
	if c.Kind == sqldialect.SQLite {
		statement = releaseSQLite
	}
	_, err := c.NewRaw(statement, args).Exec(ctx)
	return err
}

// GrantStranded grants the listed tasks that still no task blocks.
func GrantStranded(ctx context.Context, c Conn, ids []uuid.UUID) ([]ReadyTask, error) {
	args := sqldialect.Named{"now": c.Now(), "due": c.After(DeliveryGrace)}
	if c.Kind == sqldialect.SQLite {
		args["candidates"] = bun.List(ids)
		return grant(ctx, c, args)
	}
	return lockAndGrant(ctx, c, ids, args)
}

func lockAndGrant(ctx context.Context, c Conn, ids []uuid.UUID, args sqldialect.Named) ([]ReadyTask, error) {
	args["ids"] = uuidArray(ids)
	locked, err := scanIDs(ctx, c, lockFollowersPostgres, args)
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	// Tasks that were canceled or granted before the lock are not among these.
	args["ids"] = uuidArray(locked)
	return grant(ctx, c, args)
}

func grant(ctx context.Context, c Conn, args sqldialect.Named) ([]ReadyTask, error) {
	statement := grantPostgres
	if c.Kind == sqldialect.SQLite {
		statement = grantSQLite
	}
	var ready []ReadyTask
	err := c.NewRaw(statement, args).Scan(ctx, &ready)
	return ready, err
}

// uuidArray returns ids as an argument for uuid[] of Postgres.
func uuidArray(ids []uuid.UUID) any {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return pgdialect.Array(list)
}
