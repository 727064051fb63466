package pulpcore

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

const (
	// housekeepingInterval is how often leftovers are looked for.
	housekeepingInterval = time.Hour
	// spoolProtection is how old a spooled file must be before its writer counts as dead.
	spoolProtection = 24 * time.Hour
	// strayParts is in how many sweeps, one an hour, the whole store is looked through for stray objects.
	strayParts = 24
)

// keepHouse removes what nobody will: spooled bytes of writers that died, rows that belonged to a remote or a
// publication whose deletion was cut off, temporary files older than TMPFILE_PROTECTION_TIME if that is set, and stored
// objects older than STRAY_PROTECTION_TIME that no row points to. It also sees to it that tasks which ended longer ago
// than TASK_PROTECTION_TIME are purged at intervals, or not any more. It runs beside the workers until ctx is done.
func (a *App) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(housekeepingInterval)
	defer tick.Stop()
	for {
		if err := rest.SchedulePurge(ctx, a.queue, a.set.Core().TaskProtectionTime); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the purge of tasks is scheduled later", "err", err)
		}
		a.sweep(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *App) sweep(ctx context.Context) {
	spooled, err := a.store.Sweep(ctx, spoolProtection)
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "the store's spool cannot be swept", "err", err)
	}
	temporary := 0
	if age := a.set.Core().TmpfileProtection; age > 0 {
		temporary, err = models.SweepTemporaryFiles(ctx, a.db, a.store, models.Now().Add(-age))
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "temporary files cannot be swept", "err", err)
		}
	}
	if err := models.RemoveLeftovers(ctx, a.db); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "what belonged to deleted remotes and publications is removed later", "err", err)
	}
	stray := 0
	if age := a.set.Core().StrayProtectionTime; age > 0 {
		stray, err = models.StraySweep{
			DB: a.db, Store: a.store, Before: models.Now().Add(-age),
			Part: int(models.Now().Unix()/3600) % strayParts, Of: strayParts,
		}.Run(ctx)
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "stray objects of the store cannot be swept", "err", err)
		}
	}
	if spooled+temporary+stray > 0 {
		a.log.InfoContext(ctx, "leftovers removed", "spooled", spooled, "temporary_files", temporary, "stray", stray)
	}
}
