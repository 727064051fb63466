package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// errReserved ends a cancellation whose locks are not those of all that the task has reserved: it ran meanwhile.
var errReserved = errors.New("tasking: the task reserved more while it was being canceled")

// Cancel cancels a task and returns it as it is then. A task that runs keeps its reservations until its function has
// returned.
//
// Errors: NotFound; Conflict if the task has ended otherwise than by being canceled; Locked if the resources' rows
// stayed locked for 5 s, or in a caller's transaction for as long as that one waits.
func (c *Core) Cancel(ctx context.Context, db *models.DB, id uuid.UUID) (*models.Task, error) {
	t, err := c.cancelOnce(ctx, db, id)
	// The task ran and reserved more between the read and the lock. The next round locks the new resources too.
	for errors.Is(err, errReserved) {
		t, err = c.cancelOnce(ctx, db, id)
	}
	if err != nil {
		return nil, err
	}
	if t.State.Final() && t.State != models.Canceled {
		return t, pulperr.Public(pulperr.Conflict, "The task is in the state %q and cannot be canceled.", string(t.State))
	}
	return t, nil
}

// cancelOnce cancels a task and returns it as it is then.
//
// Errors: errReserved; no row was changed then.
func (c *Core) cancelOnce(ctx context.Context, db *models.DB, id uuid.UUID) (*models.Task, error) {
	t, err := Get(ctx, db, id)
	if err != nil {
		return nil, err
	}
	c.At("cancel.read")
	err = taskdb.Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		return c.cancelIn(ctx, tx, t, db.InTx())
	})
	if err != nil {
		return nil, taskdb.Wrap(err, "cancel task %s", id)
	}
	return Get(ctx, db, id)
}

func (c *Core) cancelIn(ctx context.Context, tx *models.Tx, t *models.Task, nested bool) error {
	list, conn := taskdb.ReservationsOf(t.ReservedResources), taskdb.On(tx.DB)
	limit := taskdb.LockWait
	if nested { // the caller's transaction, whose other statements it would limit too
		limit = 0
	}
	// Before the row is changed, although a running task needs no lock: a waiting one releases its reservations here.
	if err := taskdb.LockResources(ctx, conn, list, limit); err != nil {
		return err
	}
	waited, err := taskdb.CancelWaiting(ctx, conn, t.ID)
	if err != nil {
		return err
	}
	if waited != nil {
		// Releasing the old list would leave the new reservations without a task, and they would block others.
		if !slices.Equal(waited.ReservedResources, t.ReservedResources) {
			return errReserved
		}
		ready, err := taskdb.Release(ctx, conn, taskdb.Held{Seq: waited.Seq, Reservations: list})
		tx.AfterCommit(func() {
			c.Telemetry.Canceled(ctx, t)
			c.Deliver(ctx, ready...)
			c.Emit(event.OfTask(t, models.Canceled))
		})
		return err
	}
	running, err := taskdb.CancelRunning(ctx, conn, t.ID)
	if err != nil || !running {
		return err
	}
	tx.AfterCommit(func() {
		c.Emit(event.OfTask(t, models.Canceling)) // before the task's context ends
		c.publishCancel(ctx, t.ID)
	})
	return nil
}
