package tasking

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	// lockPatience is how long a dispatch, a cancellation or the end of a task waits for the lock on a resource; the end
	// is tried again.
	lockPatience = 5 * time.Second
	// batchPatience is how long a batch waits for a lock on a row: callers that have nothing to do with it wait too.
	batchPatience = 100 * time.Millisecond
	// allTurn is how long a transaction that locks everything stands in line at a time: nobody gets past it.
	allTurn = 100 * time.Millisecond
)

// batchTx runs fn in a transaction of its own for those items of a batch whose resources nobody else has locked; fn
// gets their places. It returns which items are busy: nothing was written for them, and each has to be written alone,
// so that the others need not wait for the lock with it.
func (q *Queue) batchTx(
	ctx context.Context, lists [][]taskdb.Reservation, fn func(ctx context.Context, tx *models.Tx, free []int) error,
) (busy []bool, err error) {
	busy = make([]bool, len(lists))
	err = taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
		taken, err := taskdb.TryLockResources(ctx, taskdb.On(tx.DB), taskdb.Union(lists...), batchPatience)
		if err != nil {
			return err
		}
		var free []int
		for i, list := range lists {
			if busy[i] = anyOf(taken, list); !busy[i] {
				free = append(free, i)
			}
		}
		if len(free) == 0 {
			return nil
		}
		return fn(ctx, tx, free)
	})
	if sqldialect.IsLockTimeout(err) {
		for i := range busy {
			busy[i] = true
		}
		return busy, nil
	}
	return busy, err
}

// anyOf reports whether one of the resources in list is taken.
func anyOf(taken map[int64]bool, list []taskdb.Reservation) bool {
	for _, r := range list {
		if taken[r.Key] {
			return true
		}
	}
	return false
}

// patience is lockPatience in a transaction of the queue's own. In a caller's it is 0, as long as that one allows: it
// would hold for whatever else the caller does in it.
func (q *Queue) patience() time.Duration {
	if q.db.InTx() {
		return 0
	}
	return lockPatience
}

// lockedTx runs fn in a transaction of its own that has locked resources. Patience bounds how long it waits for each
// lock; 0 does not.
//
// Errors: one for which [sqldialect.IsLockTimeout] is true.
func (q *Queue) lockedTx(
	ctx context.Context, list []taskdb.Reservation, patience time.Duration,
	fn func(ctx context.Context, tx *models.Tx) error,
) error {
	turn := patience
	if taskdb.LocksAll(list) && !q.db.InTx() {
		turn = allTurn
	}
	for began := time.Now(); ; {
		err := taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
			if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), list, turn); err != nil {
				return err
			}
			return fn(ctx, tx)
		})
		if !sqldialect.IsLockTimeout(err) || turn == patience || patience > 0 && time.Since(began) > patience {
			return err
		}
		timer := time.NewTimer(2 * turn) // in which the others get their turn
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
