package tasking

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// redeliveryPage is how many ready tasks become due in one transaction.
const redeliveryPage = 1000

// redeliverAll makes the relays of all workers deliver every ready task again, page by page: see redeliverPage. How far
// they are is in the database, so it does not matter which of them goes on.
func (q *Queue) redeliverAll(ctx context.Context, idb bun.IDB) error {
	return q.setMeta(ctx, idb, metaRedelivery, redelivery{}.String())
}

// redelivery is how far a redelivery is: the queue and the place of the last task.
type redelivery struct {
	queue string
	seq   int64
}

func (r redelivery) String() string { return fmt.Sprintf("%d %s", r.seq, r.queue) }

func parseRedelivery(text string) (r redelivery, err error) {
	_, err = fmt.Sscanf(text, "%d %s", &r.seq, &r.queue)
	if text == (redelivery{}).String() {
		err = nil // the first queue has no name before it
	}
	return r, err
}

// redeliverPage makes the next ready tasks due, those that wait for another attempt when they may begin, and reports
// whether there may be more. If another worker is at it there are none.
func (w *Worker) redeliverPage(ctx context.Context) (more bool, err error) {
	text, err := w.q.meta(ctx, w.q.db.Bun(), metaRedelivery, false)
	if err != nil || text == "" {
		return false, err
	}
	err = taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) error {
		var found []string
		err := tx.Bun().NewRaw("SELECT value FROM core_taskingmeta WHERE key = ? ?", metaRedelivery, w.q.kind.SkipLocked()).
			Scan(ctx, &found)
		if more = err == nil && len(found) > 0 && found[0] != ""; !more {
			return err
		}
		last, err := w.makeDue(ctx, tx, found[0])
		more = last != ""
		if err != nil {
			return err
		}
		return w.q.setMeta(ctx, tx.Bun(), metaRedelivery, last)
	})
	return more && err == nil, taskdb.Wrap(err, "deliver ready tasks again")
}

// makeDue makes the ready tasks behind one due, and returns the last of them, or "" if there are none behind. One that
// another transaction has locked is being claimed or delivered.
func (w *Worker) makeDue(ctx context.Context, tx *models.Tx, after string) (string, error) {
	at, err := parseRedelivery(after)
	if err != nil {
		return "", fmt.Errorf("tasking: redelivery %q: %w", after, err)
	}
	if err := w.q.kind.FollowIndex(ctx, tx.Bun()); err != nil {
		return "", err
	}
	var page []struct {
		ID    uuid.UUID `bun:"pulp_id"`
		Queue string    `bun:"queue"`
		Seq   int64     `bun:"seq"`
	}
	err = tx.Bun().NewRaw(`SELECT pulp_id, queue, seq FROM core_task WHERE state = 'waiting' AND unblocked_at IS NOT NULL
		AND (queue, seq) > (?queue, ?seq) ORDER BY queue, seq LIMIT ?limit ?lock`, sqldialect.Named{
		"queue": at.queue, "seq": at.seq, "limit": redeliveryPage, "lock": w.q.kind.SkipLocked(),
	}).Scan(ctx, &page)
	if err != nil || len(page) == 0 {
		return "", err
	}
	ids := make([]uuid.UUID, len(page))
	for i, t := range page {
		ids[i] = t.ID
	}
	_, err = tx.Bun().NewRaw(`UPDATE core_task SET deliver_due = CASE WHEN not_before > ?now THEN not_before ELSE ?now END
		WHERE pulp_id IN (?ids) AND (state = 'waiting') IS TRUE`,
		sqldialect.Named{"now": w.q.kind.Now(), "ids": bun.List(ids)}).Exec(ctx)
	if len(page) < redeliveryPage {
		return "", err
	}
	last := page[len(page)-1]
	return redelivery{last.Queue, last.Seq}.String(), err
}
