package tasking

import (
	"context"
	"errors"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	// sweepPage is how many blocked tasks, or reservations, one statement looks at.
	sweepPage = 500
	// sweepTime is how long a sweep begins new pages; the next one goes on behind them. With 100,000 blocked tasks a page
	// takes about 5 ms.
	sweepTime = 200 * time.Millisecond
)

// sweep repairs what should never be: tasks that wait for nothing and reservations of tasks that have ended. It looks
// without locks and writes only if it finds something.
func (w *Worker) sweep(ctx context.Context) error {
	orphans, err := w.sweepOrphans(ctx)
	if orphans > 0 {
		w.sweptTo = 0 // those who waited for them may be anywhere
	}
	stranded, strandedErr := w.sweepStranded(ctx)
	if stranded > 0 || orphans > 0 {
		w.q.tel.repaired(ctx, stranded, orphans)
		w.log.ErrorContext(ctx, "reservations were repaired; please report this",
			"stranded", stranded, "orphans", orphans)
	}
	return taskdb.Wrap(errors.Join(err, strandedErr), "sweep reservations")
}

// sweepOrphans removes reservations of tasks that have ended or do not exist and returns how many. An ended task never
// begins again.
func (w *Worker) sweepOrphans(ctx context.Context) (removed int64, err error) {
	for until := time.Now().Add(sweepTime); ; {
		orphans, last, err := taskdb.OrphanedReservations(ctx, taskdb.On(w.q.db), w.sweptKey, sweepPage)
		if err != nil {
			return removed, err
		}
		if len(orphans) > 0 {
			err := taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) error {
				return taskdb.RemoveReservations(ctx, taskdb.On(tx.DB), orphans)
			})
			if err != nil {
				return removed, err
			}
			removed += int64(len(orphans))
		}
		if w.sweptKey = last; last == nil || time.Now().After(until) {
			return removed, nil
		}
	}
}

// sweepStranded grants tasks that wait for nothing and returns how many.
func (w *Worker) sweepStranded(ctx context.Context) (int, error) {
	granted := 0
	for until := time.Now().Add(sweepTime); ; {
		ids, last, err := taskdb.Stranded(ctx, taskdb.On(w.q.db), w.sweptTo, sweepPage)
		if err != nil {
			return granted, err
		}
		if len(ids) > 0 {
			var ready []taskdb.ReadyTask
			err := taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) (err error) {
				ready, err = taskdb.GrantStranded(ctx, taskdb.On(tx.DB), ids)
				return err
			})
			if err != nil {
				return granted, err
			}
			granted += len(ready)
			w.q.deliver(ctx, ready...)
		}
		if w.sweptTo = last; last == 0 || time.Now().After(until) {
			return granted, nil
		}
	}
}
