package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Reports counts in the progress reports of task groups. Additions at the same time are written together.
type Reports struct {
	db      *models.DB
	batches batch.Writer[Addition, added]
}

// Addition is an addition to one report of a group.
type Addition struct {
	DB          *models.DB // whose task adds it, if any
	Group       uuid.UUID
	Code        string
	Done, Total int64
}

// Add adds to a report, and reports whether there is one.
func (r *Reports) Add(ctx context.Context, a Addition) (found bool, err error) {
	done := added{busy: true}
	// A batch has a transaction of its own and would not end with the caller's.
	if !a.DB.InTx() {
		done, err = r.batches.Do(ctx, a)
	}
	if err == nil && done.busy {
		err = taskdb.Tx(ctx, a.DB, func(ctx context.Context, tx *models.Tx) (err error) {
			done.found, err = taskdb.AddToReport(ctx, taskdb.On(tx.DB), a.Group, a.Code, a.Done, a.Total)
			return err
		})
	}
	return done.found, err
}

// added is the result of an addition in a batch.
type added struct {
	found bool
	busy  bool // another transaction has a lock: nothing was written
}

// maxAdditions is how many additions share a transaction at most.
const maxAdditions = 256

func (r *Reports) init(db *models.DB) {
	r.db = db
	r.batches.Limit, r.batches.Write = maxAdditions, r.write
	r.batches.IsItemError = func(err error) bool { return errors.Is(err, ErrFenced) }
}

// write writes the sum for each report, and reports which exist.
func (r *Reports) write(ctx context.Context, batch []Addition) ([]added, error) {
	type key struct {
		group uuid.UUID
		code  string
	}
	sums := map[key]Addition{}
	for _, a := range batch {
		k := key{a.Group, a.Code}
		sum := sums[k]
		sums[k] = Addition{Group: a.Group, Code: a.Code, Done: sum.Done + a.Done, Total: sum.Total + a.Total}
	}
	order := make([]Addition, 0, len(sums))
	for _, sum := range sums {
		order = append(order, sum)
	}
	// Two processes that change the same rows in different orders could deadlock.
	slices.SortFunc(order, func(a, b Addition) int {
		return cmp.Or(slices.Compare(a.Group[:], b.Group[:]), cmp.Compare(a.Code, b.Code))
	})
	out := make([]added, len(batch))
	// Additions reserve no resources: BatchTx only bounds their wait for the rows.
	none := make([][]taskdb.Reservation, len(batch))
	busy, err := taskdb.BatchTx(ctx, r.db, none, func(ctx context.Context, c taskdb.Conn, _ []int) error {
		exists := map[key]bool{}
		for _, sum := range order {
			found, err := taskdb.AddToReport(ctx, c, sum.Group, sum.Code, sum.Done, sum.Total)
			if err != nil {
				return err
			}
			exists[key{sum.Group, sum.Code}] = found
		}
		scopes := make([]*models.TaskScope, len(batch))
		for i, a := range batch {
			out[i].found, scopes[i] = exists[key{a.Group, a.Code}], a.DB.Task()
		}
		return AsFenced(taskdb.FenceAll(ctx, c, scopes))
	})
	for i := range busy {
		out[i].busy = busy[i]
	}
	return out, err
}
