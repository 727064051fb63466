package taskdb

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

const (
	// LockWait is how long a dispatch, a cancellation or the end of a task waits for the lock on a resource.
	LockWait = 5 * time.Second
	// batchLockWait is how long a batch waits for a lock on a row. It is short, because all callers of the batch wait,
	// also the ones that do not need the row.
	batchLockWait = 100 * time.Millisecond
	// exclusiveTurn is how long a transaction that locks all resources queues for the lock at a time. While it queues, no
	// other transaction gets the lock.
	exclusiveTurn = 100 * time.Millisecond
)

// BatchTx runs fn in a transaction for those items of a batch whose resources no other transaction has locked; fn gets
// their places. It returns which items are busy. The transaction writes no row for a busy item: the caller writes it
// alone, so that the rest of a batch never waits for a lock.
func BatchTx(
	ctx context.Context, db *models.DB, lists [][]Reservation, fn func(ctx context.Context, c Conn, free []int) error,
) (busy []bool, err error) {
	busy = make([]bool, len(lists))
	err = Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
		c := On(tx.DB)
		taken, err := TryLockResources(ctx, c, Union(lists...), batchLockWait)
		if err != nil {
			return err
		}
		var free []int
		for i, list := range lists {
			if busy[i] = containsAny(taken, list); !busy[i] {
				free = append(free, i)
			}
		}
		if len(free) == 0 {
			return nil
		}
		return fn(ctx, c, free)
	})
	// A statement of fn waited for a row, such as the one with an idempotency key. Which item needs that row is not known,
	// so each is written alone.
	if sqldialect.IsLockTimeout(err) {
		for i := range busy {
			busy[i] = true
		}
		return busy, nil
	}
	return busy, err
}

func containsAny(taken map[int64]bool, list []Reservation) bool {
	for _, r := range list {
		if taken[r.Key] {
			return true
		}
	}
	return false
}

// LockedTx runs fn in a transaction that has locked resources. It waits [LockWait] for each lock. In a handle that
// belongs to a transaction it waits as long as that transaction does: a limit would hold for the caller's other
// statements too.
//
// Errors: one for which [sqldialect.IsLockTimeout] is true.
func LockedTx(
	ctx context.Context, db *models.DB, list []Reservation, fn func(ctx context.Context, tx *models.Tx) error,
) error {
	limit := LockWait
	if db.InTx() {
		limit = 0
	}
	turn := limit
	if LocksAll(list) && !db.InTx() {
		// While this transaction queues for the lock on everything, Postgres grants it to no later one. Short turns let other
		// dispatches pass.
		turn = exclusiveTurn
	}
	for began := time.Now(); ; {
		err := Tx(ctx, db, func(ctx context.Context, tx *models.Tx) error {
			if err := LockResources(ctx, On(tx.DB), list, turn); err != nil {
				return err
			}
			return fn(ctx, tx)
		})
		if !sqldialect.IsLockTimeout(err) || turn == limit || limit > 0 && time.Since(began) > limit {
			return err
		}
		timer := time.NewTimer(2 * turn) // in which other transactions get the lock
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
