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
	// leftOverPage is how many of them it looks at.
	leftOverPage = 100
)

// takeLeftOver takes tasks that need versions of plugins and have been ready for a while, although this worker has free
// slots: their messages are with workers that are too old for them, and go from one of those to the next.
func (w *Worker) takeLeftOver(ctx context.Context, l *life) {
	for queue, slots := range w.slots {
		if len(slots) == cap(slots) {
			continue
		}
		var list []sqldialect.ReadyTask // in the order of the index on tasks that are ready
		err := w.q.db.Bun().NewRaw(`SELECT pulp_id, queue, delivery_gen, versions FROM core_task
			WHERE state = 'waiting' AND unblocked_at IS NOT NULL AND unblocked_at <= ?ago AND versions IS NOT NULL
				AND (not_before IS NULL OR not_before <= ?now) AND queue = ?queue ORDER BY deliver_due LIMIT ?limit`,
			sqldialect.Named{
				"ago": w.q.kind.After(-leftOverAge), "now": w.q.kind.Now(), "queue": queue, "limit": leftOverPage,
			}).Scan(ctx, &list)
		if err != nil {
			if ctx.Err() == nil {
				w.log.WarnContext(ctx, "ready tasks cannot be read", "err", err)
			}
			return
		}
		for _, t := range list {
			if w.fulfils(t.Versions) && !w.tryInSlot(l, queue, t.ID) {
				break
			}
		}
	}
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
		_ = w.tryTask(l, id) // it says itself what goes wrong, and the next look tries again
	}()
	return true
}
