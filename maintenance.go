package pulpcore

import (
	"context"
	"log/slog"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

const (
	// maintenanceInterval is the time between two rounds of maintenance.
	maintenanceInterval = time.Hour
	// spoolProtection is the age at which a spooled file is removed: no upload takes so long, so its writer is dead.
	spoolProtection = 24 * time.Hour
	// strayParts is the number of rounds in which the whole store is searched for stray objects. One round an hour
	// lists a part, so that no round reads the whole store.
	strayParts = 24
)

// maintenance removes leftovers of the store and the database at intervals.
type maintenance struct {
	core  settings.Core
	db    *models.DB
	store *storage.Store
	queue *tasking.Queue
	log   *slog.Logger
}

// run does a round of maintenance now and every hour, until ctx is done. It also schedules the purge of tasks that
// TASK_PROTECTION_TIME asks for, or removes that schedule.
func (m *maintenance) run(ctx context.Context) error {
	tick := time.NewTicker(maintenanceInterval)
	defer tick.Stop()
	for {
		// In each round, because the database may not have answered in the one before.
		if err := rest.SchedulePurge(ctx, m.queue, m.core.TaskProtectionTime); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "the purge of tasks could not be scheduled; it is tried again in an hour", "err", err)
		}
		m.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round removes spooled files of dead writers, rows that belonged to a remote or a publication whose deletion was
// interrupted, temporary files older than TMPFILE_PROTECTION_TIME and stored objects older than STRAY_PROTECTION_TIME
// that no row refers to. A failure in one of them does not keep the others from running.
func (m *maintenance) round(ctx context.Context) {
	spooled, err := m.store.Sweep(ctx, spoolProtection)
	m.warn(ctx, "spooled files", err)
	temporary := 0
	// An age of 0 turns the clean-up off; it does not remove files of any age.
	if age := m.core.TmpfileProtection; age > 0 {
		temporary, err = models.SweepTemporaryFiles(ctx, m.db, m.store, models.Now().Add(-age))
		m.warn(ctx, "temporary files", err)
	}
	m.warn(ctx, "rows of deleted remotes and publications", models.RemoveLeftovers(ctx, m.db))
	stray := 0
	if age := m.core.StrayProtectionTime; age > 0 {
		stray, err = models.StraySweep{
			DB: m.db, Store: m.store, Before: models.Now().Add(-age),
			// The part follows the clock and not a counter, so that restarts do not begin with the first part again.
			Part: int(models.Now().Unix()/int64(maintenanceInterval/time.Second)) % strayParts, Of: strayParts,
		}.Run(ctx)
		m.warn(ctx, "stray objects", err)
	}
	if spooled+temporary+stray > 0 {
		m.log.InfoContext(ctx, "leftovers removed", "spooled", spooled, "temporary_files", temporary, "stray", stray)
	}
}

// warn logs a failure, unless the process is stopping: then the failure is the cancellation.
func (m *maintenance) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "leftovers could not be removed; it is tried again in an hour", "leftovers", what, "err", err)
	}
}
