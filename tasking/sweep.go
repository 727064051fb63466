package tasking

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

const (
	// sweepPage is how many blocked tasks, or tasks with reservations that should be gone, one statement looks at.
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
	return wrap(errors.Join(err, strandedErr), "sweep reservations")
}

// sweepOrphans removes reservations of tasks that have ended. An ended task never begins again.
func (w *Worker) sweepOrphans(ctx context.Context) (removed int64, err error) {
	var ended []uuid.UUID
	err = w.q.db.Bun().NewRaw(`SELECT DISTINCT r.task_id FROM core_taskresource r JOIN core_task t ON t.pulp_id = r.task_id
		WHERE t.state NOT IN ('waiting', 'running', 'canceling') LIMIT ?`, sweepPage).Scan(ctx, &ended)
	if err != nil || len(ended) == 0 {
		return 0, err
	}
	return exec(ctx, w.q.db, "DELETE FROM core_taskresource WHERE task_id IN (?)", bun.List(ended))
}

// sweepStranded grants tasks that wait for nothing and returns how many.
func (w *Worker) sweepStranded(ctx context.Context) (int, error) {
	granted := 0
	for until := time.Now().Add(sweepTime); ; {
		ids, last, err := w.q.kind.Stranded(ctx, w.q.db.Bun(), w.sweptTo, sweepPage)
		if err != nil {
			return granted, err
		}
		if len(ids) > 0 {
			var ready []sqldialect.ReadyTask
			err := w.q.tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
				ready, err = w.q.kind.GrantStranded(ctx, tx.Bun(), ids)
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
