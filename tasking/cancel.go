package tasking

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// errReserved ends a cancellation whose locks are not those of all that the task has reserved: it ran meanwhile.
var errReserved = errors.New("tasking: the task reserved more while it was being canceled")

// Cancel stops a task and returns it as it is then: canceled if it was waiting, canceling if it was running, in which
// case it keeps its reservations until its function has returned. A second call changes nothing. Tasks that it
// dispatched are not canceled with it.
//
// Errors: NotFound; Conflict if the task has ended otherwise than by being canceled; Locked if the resources' rows
// stayed locked for 5 s, or in a caller's transaction for as long as that one waits.
func (q *Queue) Cancel(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	t, err := q.cancel(ctx, id)
	for errors.Is(err, errReserved) {
		t, err = q.cancel(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if t.State.Final() && t.State != models.Canceled {
		return t, pulperr.Public(pulperr.Conflict, "The task is in the state %q and cannot be canceled.", string(t.State))
	}
	return t, nil
}

// cancel cancels a task and returns it as it is then.
//
// Errors: errReserved, and then nothing was changed.
func (q *Queue) cancel(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	t, err := q.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	q.at("cancel.read")
	err = taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error { return q.cancelIn(ctx, tx, t) })
	if err != nil {
		return nil, taskdb.Wrap(err, "cancel task %s", id)
	}
	return q.Get(ctx, id)
}

func (q *Queue) cancelIn(ctx context.Context, tx *models.Tx, t *models.Task) error {
	list, c := taskdb.ReservationsOf(t.ReservedResources), taskdb.On(tx.DB)
	limit := taskdb.LockWait
	if q.db.InTx() { // the caller's transaction, whose other statements it would limit too
		limit = 0
	}
	if err := taskdb.LockResources(ctx, c, list, limit); err != nil {
		return err
	}
	waited, err := taskdb.CancelWaiting(ctx, c, t.ID)
	if err != nil {
		return err
	}
	if waited != nil {
		if !slices.Equal(waited.ReservedResources, t.ReservedResources) {
			return errReserved
		}
		ready, err := taskdb.Release(ctx, c, taskdb.Held{Seq: waited.Seq, Reservations: list})
		tx.AfterCommit(func() {
			q.tel.canceled(ctx, t)
			q.deliver(ctx, ready...)
			q.emit(taskEvent(t, models.Canceled))
		})
		return err
	}
	running, err := taskdb.CancelRunning(ctx, c, t.ID)
	if err != nil || !running {
		return err
	}
	tx.AfterCommit(func() {
		q.emit(taskEvent(t, models.Canceling)) // before the task's context ends
		q.publishCancel(ctx, t.ID)
	})
	return nil
}
