package tasking

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

const (
	// leftOverInterval is how often a worker with free slots looks for tasks that are left over.
	leftOverInterval = 5 * time.Second
	// leftOverAge is how long such a task has been ready at least.
	leftOverAge = 2 * time.Second
	// leftOverPage is how many ready tasks it looks at.
	leftOverPage = 500
)

// takeLeftOver takes tasks that need versions of plugins and have been ready for a while, although this worker has free
// slots: their messages are with workers that are too old for them, and go from one of those to the next. It looks at a
// page of each queue and goes on behind that the next time.
func (w *Worker) takeLeftOver(ctx context.Context, l *life) {
	for queue, slots := range w.slots {
		if len(slots) == cap(slots) {
			continue
		}
		page, err := w.readLeftOver(ctx, queue)
		if err != nil {
			if ctx.Err() == nil {
				w.log.WarnContext(ctx, "ready tasks cannot be read", "err", err)
			}
			return
		}
		w.leftOverTo[queue] = 0
		if len(page) == leftOverPage {
			w.leftOverTo[queue] = page[leftOverPage-1].Seq
		}
		for _, t := range page {
			if t.LeftOver && w.fulfils(t.Versions) && !w.tryInSlot(l, queue, t.ID) {
				w.leftOverTo[queue] = t.Seq - 1
				break
			}
		}
	}
}

// leftOver is a ready task that a worker with free slots looks at.
type leftOver struct {
	queuedTask
	LeftOver bool `bun:"left_over"` // it has been ready for long enough and may begin
}

// readLeftOver returns the ready tasks of a queue, of which those without versions are never left over, from where the
// last look ended.
func (w *Worker) readLeftOver(ctx context.Context, queue string) (page []leftOver, err error) {
	err = w.q.db.Bun().NewRaw(`SELECT pulp_id, queue, delivery_gen, versions, seq, versions IS NOT NULL
			AND unblocked_at <= ?ago AND (not_before IS NULL OR not_before <= ?now) AS left_over
		FROM core_task WHERE state = 'waiting' AND unblocked_at IS NOT NULL AND queue = ?queue AND seq > ?after
		ORDER BY queue, seq LIMIT ?limit`, sqldialect.Named{
		"ago": w.q.kind.After(-leftOverAge), "now": w.q.kind.Now(), "queue": queue, "after": w.leftOverTo[queue],
		"limit": leftOverPage,
	}).Scan(ctx, &page)
	return page, err
}

// tryInSlot tries a task in a goroutine of its own and reports false if there is no free slot or nothing may begin.
func (w *Worker) tryInSlot(l *life, queue string, id uuid.UUID) bool {
	slots := w.slots[queue]
	select {
	case slots <- struct{}{}:
	default:
		return false
	}
	if w.enter() == nil {
		<-slots
		return false
	}
	go func() { // counted in l.busy, which the worker waits for
		defer l.busy.Done()
		defer func() { <-slots }()
		_ = w.tryTask(l, id) // it logs its errors, and the next poll tries again
	}()
	return true
}
