package taskdb

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// QueuedTask is a ready task with its place in the order.
type QueuedTask struct {
	ReadyTask
	Seq int64 `bun:"seq"`
	// Unattended is set by [ReadUnattended] for a task that workers with its message cannot execute.
	Unattended bool `bun:"unattended"`
}

// ReadReady returns the ready tasks of a queue behind a place that may begin now, at most limit of them.
func ReadReady(ctx context.Context, c Conn, queue string, after int64, limit int) (page []QueuedTask, err error) {
	err = c.NewRaw("SELECT pulp_id, queue, delivery_gen, versions, seq FROM core_task WHERE "+ready+
		" AND queue = ?queue AND seq > ?after AND "+mayBegin+" ORDER BY queue, seq LIMIT ?limit",
		sqldialect.Named{"now": c.Now(), "queue": queue, "after": after, "limit": limit}).Scan(ctx, &page)
	return page, err
}

// ReadUnattended returns the ready tasks of a queue behind a place, at most limit of them. Unattended tasks need
// versions of plugins and have been ready for at least age.
func ReadUnattended(
	ctx context.Context, c Conn, queue string, after int64, age time.Duration, limit int,
) (page []QueuedTask, err error) {
	// Unattended is a column and no condition: the statement reads a page of the index, however few of its tasks are
	// unattended.
	err = c.NewRaw("SELECT pulp_id, queue, delivery_gen, versions, seq, "+
		"versions IS NOT NULL AND unblocked_at <= ?ago AND "+mayBegin+" AS unattended FROM core_task WHERE "+ready+
		" AND queue = ?queue AND seq > ?after ORDER BY queue, seq LIMIT ?limit", sqldialect.Named{
		"ago": c.After(-age), "now": c.Now(), "queue": queue, "after": after, "limit": limit,
	}).Scan(ctx, &page)
	return page, err
}

// IsWaiting reports whether a task waits.
func IsWaiting(ctx context.Context, c Conn, id uuid.UUID) (bool, error) {
	var found []int
	err := c.NewRaw("SELECT 1 FROM core_task WHERE pulp_id = ? AND "+waiting, id).Scan(ctx, &found)
	return len(found) > 0, err
}

// CountReady returns how many tasks are ready.
func CountReady(ctx context.Context, c Conn) (n int64, err error) {
	err = c.NewRaw("SELECT count(*) FROM core_task WHERE "+ready).Scan(ctx, &n)
	return n, err
}

// DueTask is a ready task whose announcement is to be repeated.
type DueTask struct {
	ReadyTask
	Stale bool `bun:"stale"` // it became ready so long ago that a worker with its message counts as dead
}

// A task that waits for its next attempt is not due: a worker could not claim it and would drop its message.
const isDue = ready + ` AND deliver_due <= ?now AND ` + mayBegin

// AnyDue reports whether a task is due. It is cheap: nearly always none is.
func AnyDue(ctx context.Context, c Conn) (bool, error) {
	var found []uuid.UUID
	err := c.NewRaw("SELECT pulp_id FROM core_task WHERE "+isDue+" ORDER BY deliver_due LIMIT 1",
		sqldialect.Named{"now": c.Now()}).Scan(ctx, &found)
	return len(found) > 0, err
}

// LeaseDue returns due tasks, at most limit of them, and keeps other relays away from them for the time of lease. A
// task that has been ready for longer than stale is marked. It needs a transaction.
func LeaseDue(ctx context.Context, c Conn, lease, stale time.Duration, limit int) (batch []DueTask, err error) {
	err = c.NewRaw("UPDATE core_task SET deliver_due = ?lease WHERE pulp_id IN (SELECT pulp_id FROM core_task WHERE "+
		isDue+` ORDER BY deliver_due LIMIT ?limit ?lock)
		RETURNING pulp_id, queue, delivery_gen, versions, unblocked_at <= ?stale AS stale`, sqldialect.Named{
		"lease": c.After(lease), "now": c.Now(), "limit": limit, "lock": c.SkipLocked(), "stale": c.After(-stale),
	}).Scan(ctx, &batch)
	return batch, err
}

// RenewGeneration counts the generation of a waiting task up, so that a message about it has a new id. It reports false
// if the task does not wait any more or has another generation.
func RenewGeneration(ctx context.Context, db *models.DB, t ReadyTask) (bool, error) {
	// The condition on the generation leaves out a task that has run meanwhile and waits for its next attempt.
	n, err := ExecTx(ctx, db, `UPDATE core_task SET delivery_gen = ? WHERE pulp_id = ? AND delivery_gen = ?
		AND state = 'waiting'`, t.Gen+1, t.ID, t.Gen)
	return n > 0, err
}

// Postpone makes tasks due after a time. It leaves out those with another generation: they have run meanwhile and wait
// for another attempt, which no message has announced yet. It needs a transaction.
func Postpone(ctx context.Context, c Conn, list []DueTask, after time.Duration) error {
	messages := make([]any, 0, 2*len(list))
	for _, t := range list {
		messages = append(messages, t.ID, t.Gen)
	}
	// The rows are locked by a statement of its own: as a part of the update, Postgres may run it once per row.
	var ids []uuid.UUID
	err := c.NewRaw(`SELECT t.pulp_id FROM (?) AS v JOIN core_task t ON t.pulp_id = v.column1
			AND t.delivery_gen = v.column2 WHERE (t.state = 'waiting') IS TRUE ?`,
		bun.SafeQuery(c.Values(len(list), "uuid", "integer"), messages...), c.SkipLockedOf("t")).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return err
	}
	_, err = c.NewRaw("UPDATE core_task SET deliver_due = ? WHERE pulp_id IN (?)", c.After(after), bun.List(ids)).Exec(ctx)
	return err
}

// MakeDue makes some waiting tasks due.
func MakeDue(ctx context.Context, c Conn, tasks []ReadyTask) error {
	ids := make([]uuid.UUID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	_, err := c.NewRaw("UPDATE core_task SET deliver_due = ? WHERE pulp_id IN (?) AND "+waiting, c.Now(), bun.List(ids)).
		Exec(ctx)
	return err
}

// MakeOldestDue makes the tasks due that have been ready for longest, limit at most. It needs a transaction.
func MakeOldestDue(ctx context.Context, c Conn, limit int) error {
	_, err := c.NewRaw("UPDATE core_task SET deliver_due = ?now WHERE pulp_id IN (SELECT pulp_id FROM core_task WHERE "+
		ready+" ORDER BY unblocked_at LIMIT ?limit ?lock)",
		sqldialect.Named{"now": c.Now(), "limit": limit, "lock": c.SkipLocked()}).Exec(ctx)
	return err
}

// Place is where a walk over the ready tasks has arrived: the queue and the place of the last task.
type Place struct {
	Queue string
	Seq   int64
}

// String returns the place for [ParsePlace].
func (p Place) String() string { return fmt.Sprintf("%d %s", p.Seq, p.Queue) }

// ParsePlace is the reverse of [Place.String].
func ParsePlace(text string) (p Place, err error) {
	if text == p.String() {
		return p, nil // the place before the first queue has no name to scan
	}
	if _, err = fmt.Sscanf(text, "%d %s", &p.Seq, &p.Queue); err != nil {
		return p, fmt.Errorf("tasking: place %q in the ready tasks: %w", text, err)
	}
	return p, nil
}

// MakePageDue makes the ready tasks behind a place due, limit at most; those that wait for their next attempt become
// due when that may begin. It returns the place of the last one, or nil if there is none behind it. Tasks that another
// transaction has locked are left out: they are being claimed or delivered. It needs a transaction.
func MakePageDue(ctx context.Context, c Conn, after Place, limit int) (*Place, error) {
	// A planner that knows little of a table that grew fast would sort all ready tasks for each page.
	if err := sqldialect.FollowIndex(ctx, c.Kind, c.IDB); err != nil {
		return nil, err
	}
	var page []struct {
		ID    uuid.UUID `bun:"pulp_id"`
		Queue string    `bun:"queue"`
		Seq   int64     `bun:"seq"`
	}
	err := c.NewRaw("SELECT pulp_id, queue, seq FROM core_task WHERE "+ready+
		" AND (queue, seq) > (?queue, ?seq) ORDER BY queue, seq LIMIT ?limit ?lock", sqldialect.Named{
		"queue": after.Queue, "seq": after.Seq, "limit": limit, "lock": c.SkipLocked(),
	}).Scan(ctx, &page)
	if err != nil || len(page) == 0 {
		return nil, err
	}
	ids := make([]uuid.UUID, len(page))
	for i, t := range page {
		ids[i] = t.ID
	}
	// A message about a task that may not begin yet would be dropped, and the task forgotten until its message is
	// verified.
	_, err = c.NewRaw(`UPDATE core_task SET deliver_due = CASE WHEN not_before > ?now THEN not_before ELSE ?now END
		WHERE pulp_id IN (?ids) AND `+waiting, sqldialect.Named{"now": c.Now(), "ids": bun.List(ids)}).Exec(ctx)
	if err != nil || len(page) < limit {
		return nil, err
	}
	last := page[len(page)-1]
	return &Place{last.Queue, last.Seq}, nil
}

// QueueCounts are the unfinished tasks of one queue.
type QueueCounts struct {
	Queue   string     `bun:"queue"`
	Ready   int64      `bun:"ready"`
	Blocked int64      `bun:"blocked"`
	Delayed int64      `bun:"delayed"` // they wait for the time of their next attempt
	Running int64      `bun:"running"`
	Stuck   int64      `bun:"stuck"`  // they were canceled long ago and go on
	Oldest  *time.Time `bun:"oldest"` // since when the oldest ready task may begin
	Now     time.Time  `bun:"now"`
}

const countsSQL = `SELECT queue, ?now AS now,
		count(*) FILTER (WHERE state = 'waiting' AND unblocked_at IS NULL) AS blocked,
		count(*) FILTER (WHERE ` + ready + ` AND ` + mayBegin + `) AS ready,
		count(*) FILTER (WHERE ` + ready + ` AND not_before > ?now) AS delayed,
		count(*) FILTER (WHERE ` + executing + `) AS running,
		count(*) FILTER (WHERE state = 'canceling' AND cancel_requested_at < ?stuck) AS stuck,
		min(CASE WHEN not_before > unblocked_at THEN not_before ELSE unblocked_at END) FILTER (WHERE state = 'waiting'
			AND ` + mayBegin + `) AS oldest
	FROM core_task WHERE ` + unfinished + ` GROUP BY queue`

// CountUnfinished counts the unfinished tasks of each queue. A canceled task counts as stuck after the time of stuck.
func CountUnfinished(ctx context.Context, c Conn, stuck time.Duration) (rows []QueueCounts, err error) {
	err = c.NewRaw(countsSQL, sqldialect.Named{"now": c.Now(), "stuck": c.After(-stuck)}).Scan(ctx, &rows)
	return rows, err
}
