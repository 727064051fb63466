package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

// maintainer does what an installation needs done once: it announces tasks again, dispatches schedules and sweeps. Of
// all workers of the installation one has the lease to do so. The lease names the row of its holder and ends with that
// row: when the holder closes its session, or when the reaper of another process removes the row of a dead holder.
//
// For a moment two workers may believe that they have the lease, if the holder was suspended. That does no harm: each
// step locks the rows that it changes.
type maintainer struct {
	q         *engine.Core
	session   *session
	relay     *relay // nil if the transport is not Redis
	sweeper   *sweeper
	schedules *schedule.Dispatcher
	log       *slog.Logger
	swept     time.Time
	resting   time.Time // until then another worker may take the lease
}

// maintenanceInterval is the time between two looks at the agenda. It is the one query that an idle worker makes
// periodically, besides its heartbeat and the observation of others.
const maintenanceInterval = time.Second

// maintenanceRest is how long a worker that failed leaves the lease to others: it may be the only one that does not
// reach Redis.
const maintenanceRest = 3 * time.Second

// run maintains the installation until ctx is done.
func (m *maintainer) run(ctx context.Context) {
	ticker := time.NewTicker(maintenanceInterval)
	defer ticker.Stop()
	m.start(ctx)
	for {
		if err := m.maintain(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "maintenance of tasks is done later", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *maintainer) start(ctx context.Context) {
	m.swept = time.Now()
	if m.relay != nil {
		m.relay.start(ctx)
	}
	if err := taskdb.AnalyzeTasks(ctx, taskdb.On(m.q.DB)); err != nil && ctx.Err() == nil {
		m.log.DebugContext(ctx, "tables are not analysed", "err", err)
	}
}

// maintain does what is to be done now, if this worker has the lease.
func (m *maintainer) maintain(ctx context.Context) error {
	agenda, err := taskdb.ReadAgenda(ctx, taskdb.On(m.q.DB))
	if err != nil {
		return taskdb.Wrap(err, "read the agenda")
	}
	if holds, err := m.holds(ctx, agenda); err != nil || !holds {
		return err
	}
	if m.relay != nil {
		if err = m.relay.run(ctx, agenda); err != nil {
			err = errors.Join(err, m.yield(ctx))
		}
	}
	if agenda.DueTimes {
		_, scheduleErr := m.schedules.Dispatch(ctx)
		err = errors.Join(err, scheduleErr)
	}
	if time.Since(m.swept) >= sweepInterval {
		m.swept = time.Now()
		err = errors.Join(err, m.sweeper.sweep(ctx))
	}
	return err
}

// holds reports whether this worker has the lease, and takes one that has ended.
func (m *maintainer) holds(ctx context.Context, agenda taskdb.Agenda) (bool, error) {
	own := m.session.workerID().String()
	if agenda.Holder == own {
		return true, nil
	}
	if agenda.HolderKnown || time.Now().Before(m.resting) {
		return false, nil
	}
	taken, err := taskdb.SwapMeta(ctx, m.q.DB, taskdb.Maintenance, agenda.Holder, own)
	return taken, taskdb.Wrap(err, "take the lease of the maintenance")
}

// yield gives the lease back for a while.
func (m *maintainer) yield(ctx context.Context) error {
	m.resting = time.Now().Add(maintenanceRest)
	_, err := taskdb.SwapMeta(ctx, m.q.DB, taskdb.Maintenance, m.session.workerID().String(), "")
	return taskdb.Wrap(err, "give the lease of the maintenance back")
}
