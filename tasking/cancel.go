package tasking

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const cancelWaitingSQL = `UPDATE core_task SET state = 'canceled', finished_at = ?now, cancel_requested_at = ?now,
	pulp_last_updated = ?now WHERE pulp_id = ?id AND (state = 'waiting') IS TRUE RETURNING seq, reserved_resources`

const cancelRunningSQL = `UPDATE core_task SET state = 'canceling', cancel_requested_at = ?now, pulp_last_updated = ?now
	WHERE pulp_id = ?id AND (state = 'running') IS TRUE RETURNING seq`

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
	list := reservations(t.ReservedResources)
	if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), list, q.patience()); err != nil {
		return err
	}
	id := t.ID
	args := sqldialect.Named{"id": id, "now": q.kind.Now()}
	var waited []*claimed
	if err := tx.Bun().NewRaw(cancelWaitingSQL, args).Scan(ctx, &waited); err != nil {
		return err
	}
	if len(waited) > 0 {
		if !slices.Equal(waited[0].ReservedResources, t.ReservedResources) {
			return errReserved
		}
		ready, err := taskdb.Release(ctx, taskdb.On(tx.DB), taskdb.Held{Seq: waited[0].Seq, Reservations: list})
		tx.AfterCommit(func() {
			q.tel.canceled(ctx, t)
			q.deliver(ctx, ready...)
			q.emit(taskEvent(t, models.Canceled))
		})
		return err
	}
	var seq []int64
	if err := tx.Bun().NewRaw(cancelRunningSQL, args).Scan(ctx, &seq); err != nil {
		return err
	}
	if len(seq) > 0 {
		tx.AfterCommit(func() {
			q.emit(taskEvent(t, models.Canceling)) // before the task knows of it
			q.publishCancel(ctx, id)
		})
	}
	return nil
}
