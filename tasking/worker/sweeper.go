package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// sweeper repairs states that only a fault of this library can cause: waiting tasks that no earlier task blocks, and
// reservations of tasks that have ended. It reads without locks and writes only to repair.
type sweeper struct {
	q   *engine.Core
	log *slog.Logger

	task        int64        // the place of the last blocked task that was looked at
	reservation *taskdb.Held // the last reservation that was looked at; nil is before the first
}

const (
	sweepInterval = 30 * time.Second
	// sweepPage is how many blocked tasks, or reservations, one statement reads.
	sweepPage = 500
	// sweepTime is how long a sweep begins further pages. The next sweep goes on behind them. With 100,000 blocked tasks a
	// page takes about 5 ms.
	sweepTime = 200 * time.Millisecond
)

// sweep reads the next pages and repairs them.
func (s *sweeper) sweep(ctx context.Context) error {
	// First the reservations: tasks that waited for one of them are stranded after its removal, and the next step grants
	// them.
	orphans, err := s.removeOrphans(ctx)
	if orphans > 0 {
		s.task = 0 // tasks that waited for the reservations may be anywhere
	}
	stranded, strandedErr := s.grantStranded(ctx)
	if stranded > 0 || orphans > 0 {
		s.q.Telemetry.Repaired(ctx, stranded, orphans)
		s.log.ErrorContext(ctx, "reservations were repaired; please report this",
			"stranded", stranded, "orphans", orphans)
	}
	return taskdb.Wrap(errors.Join(err, strandedErr), "sweep reservations")
}

// removeOrphans removes reservations of tasks that have ended or do not exist, and returns how many.
func (s *sweeper) removeOrphans(ctx context.Context) (removed int64, err error) {
	for until := time.Now().Add(sweepTime); ; {
		orphans, last, err := taskdb.OrphanedReservations(ctx, taskdb.On(s.q.DB), s.reservation, sweepPage)
		if err != nil {
			return removed, err
		}
		// The rows were read without a lock, which is safe: a task that has ended never begins again.
		if len(orphans) > 0 {
			err := taskdb.Tx(ctx, s.q.DB, func(ctx context.Context, tx *models.Tx) error {
				return taskdb.RemoveReservations(ctx, taskdb.On(tx.DB), orphans)
			})
			if err != nil {
				return removed, err
			}
			removed += int64(len(orphans))
		}
		if s.reservation = last; last == nil || time.Now().After(until) {
			return removed, nil
		}
	}
}

// grantStranded grants waiting tasks that no task blocks, and returns how many.
func (s *sweeper) grantStranded(ctx context.Context) (granted int, err error) {
	for until := time.Now().Add(sweepTime); ; {
		ids, last, err := taskdb.Stranded(ctx, taskdb.On(s.q.DB), s.task, sweepPage)
		if err != nil {
			return granted, err
		}
		if len(ids) > 0 {
			var ready []taskdb.ReadyTask
			err := taskdb.Tx(ctx, s.q.DB, func(ctx context.Context, tx *models.Tx) (err error) {
				// The page was read without locks. GrantStranded locks the tasks and tests them again, because one may have been
				// canceled or granted meanwhile.
				ready, err = taskdb.GrantStranded(ctx, taskdb.On(tx.DB), ids)
				return err
			})
			if err != nil {
				return granted, err
			}
			granted += len(ready)
			s.q.Deliver(ctx, ready...)
		}
		if s.task = last; last == 0 || time.Now().After(until) {
			return granted, nil
		}
	}
}
