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

// maintainer carries out the duties that one worker has for the whole installation: it announces tasks again,
// dispatches schedules and sweeps. One worker of the installation holds the lease for them. The lease names the row of
// its holder and ends with that row: when the holder closes its session, or when the reaper of another process removes
// the row of a dead holder.
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

// maintenanceInterval is the time between two reads of the agenda. An idle worker makes no other periodic query,
// besides its heartbeat and the observation of others.
const maintenanceInterval = time.Second

// maintenanceRest is how long a worker leaves the lease to others after an error of the relay: perhaps only this worker
// cannot reach Redis.
const maintenanceRest = 3 * time.Second

// run maintains the installation until ctx is done.
func (m *maintainer) run(ctx context.Context) {
	ticker := time.NewTicker(maintenanceInterval)
	defer ticker.Stop()
	m.start(ctx)
	for {
		if err := m.maintain(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "maintenance of tasks failed and is tried again in a second", "err", err)
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
	// With statistics from the time when the tables were empty, the planner reads whole tables. A failure only costs time,
	// so the worker starts all the same.
	if err := taskdb.AnalyzeTasks(ctx, taskdb.On(m.q.DB)); err != nil && ctx.Err() == nil {
		m.log.DebugContext(ctx, "statistics of the task tables could not be renewed", "err", err)
	}
}

// maintain executes the duties that are due, if this worker holds the lease.
func (m *maintainer) maintain(ctx context.Context) error {
	// One statement reads the lease and all conditions, because every worker executes it each second, most of them without
	// a duty.
	agenda, err := taskdb.ReadAgenda(ctx, taskdb.On(m.q.DB))
	if err != nil {
		return taskdb.Wrap(err, "read the agenda")
	}
	if holds, err := m.holds(ctx, agenda); err != nil || !holds {
		return err
	}
	if m.relay != nil {
		if err = m.relay.run(ctx, agenda); err != nil {
			// The lease ends with the row of its holder. A holder that is alive and cannot reach Redis would keep it, and no
			// worker would announce tasks again.
			err = errors.Join(err, m.yield(ctx))
		}
	}
	// Also after an error of the relay: schedules and the sweep need the database only.
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

// holds reports whether this worker has the lease, and takes a lease that has ended.
func (m *maintainer) holds(ctx context.Context, agenda taskdb.Agenda) (bool, error) {
	own := m.session.workerID().String()
	if agenda.Holder == own {
		return true, nil
	}
	// A holder without a row has ended, or a reaper has declared it dead. The lease has no time of its own, because the
	// clocks of the hosts may differ.
	if agenda.HolderKnown || time.Now().Before(m.resting) {
		return false, nil
	}
	// Compare-and-set: of several workers that find the ended lease, one takes it.
	taken, err := taskdb.SwapMeta(ctx, m.q.DB, taskdb.Maintenance, agenda.Holder, own)
	return taken, taskdb.Wrap(err, "take the lease of the maintenance")
}

// yield gives the lease back for a while.
func (m *maintainer) yield(ctx context.Context) error {
	m.resting = time.Now().Add(maintenanceRest)
	// Only if the lease is still this worker's: while it was suspended, another worker may have taken the lease.
	_, err := taskdb.SwapMeta(ctx, m.q.DB, taskdb.Maintenance, m.session.workerID().String(), "")
	return taskdb.Wrap(err, "give the lease of the maintenance back")
}
