package tasking

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// GroupProgress is one progress report that the members of a group share.
type GroupProgress struct {
	group *Group
	code  string
}

// Progress returns the report with a code, which must be one of those that were declared in [NewGroup]: to add to
// another fails. That of a nil group, which is the [Env].Group of a task that belongs to none, counts nothing.
func (g *Group) Progress(code string) GroupProgress { return GroupProgress{g, code} }

// Add counts n more units as done, n < 0 fewer. The database does the addition, so any number of tasks may do it at
// once; what members in one process add at the same time is written together. It is a transaction of its own: do not
// call it inside of one, which would make all members wait for that one's end.
//
// Errors: NotFound.
func (p GroupProgress) Add(ctx context.Context, n int64) error { return p.add(ctx, addition{done: n}) }

// AddTotal counts n more units that are to be done, like [GroupProgress.Add].
//
// Errors: NotFound.
func (p GroupProgress) AddTotal(ctx context.Context, n int64) error {
	return p.add(ctx, addition{total: n})
}

// addition is what is added to one report of a group.
type addition struct {
	db          *models.DB // whose task adds it, if any
	group       uuid.UUID
	code        string
	done, total int64
}

func (p GroupProgress) add(ctx context.Context, a addition) error {
	if p.group == nil {
		return nil
	}
	q := p.group.q
	a.db, a.group, a.code = q.db, p.group.ID, p.code
	done := added{busy: true}
	var err error
	if !q.db.InTx() {
		done, err = q.additions.Do(ctx, a)
	}
	if err == nil && done.busy {
		err = taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) (err error) {
			done.found, err = a.write(ctx, taskdb.On(tx.DB))
			return err
		})
	}
	if err == nil && !done.found {
		return pulperr.Public(pulperr.NotFound, "the task group has no progress report %q", p.code)
	}
	return taskdb.Wrap(err, "change progress report %q", p.code)
}

func (a addition) write(ctx context.Context, c taskdb.Conn) (found bool, err error) {
	n, err := taskdb.Exec(ctx, c, `UPDATE core_groupprogressreport SET done = done + ?, total = total + ?,
		pulp_last_updated = ? WHERE task_group_id = ? AND code = ?`, a.done, a.total, models.Now(), a.group, a.code)
	return n > 0, err
}

// added is the result of an addition in a batch.
type added struct {
	found bool
	busy  bool // another transaction has a lock: nothing was written
}

// maxAdditions is how many additions share a transaction at most.
const maxAdditions = 256

// initAdditions makes additions at the same time share a transaction.
func (q *Queue) initAdditions() {
	q.additions.Limit, q.additions.Write = maxAdditions, q.writeAdditions
	q.additions.IsItemError = func(err error) bool { return errors.Is(err, errFenced) }
}

// writeAdditions writes the sum for each report, and reports which exist. The rows are changed in a fixed order, so
// that processes do not wait for each other.
func (q *Queue) writeAdditions(ctx context.Context, batch []addition) ([]added, error) {
	type key struct {
		group uuid.UUID
		code  string
	}
	sums := map[key]addition{}
	for _, a := range batch {
		k := key{a.group, a.code}
		sum := sums[k]
		sums[k] = addition{group: a.group, code: a.code, done: sum.done + a.done, total: sum.total + a.total}
	}
	order := make([]addition, 0, len(sums))
	for _, sum := range sums {
		order = append(order, sum)
	}
	slices.SortFunc(order, func(a, b addition) int {
		return cmp.Or(slices.Compare(a.group[:], b.group[:]), cmp.Compare(a.code, b.code))
	})
	out := make([]added, len(batch))
	none := make([][]taskdb.Reservation, len(batch))
	busy, err := taskdb.BatchTx(ctx, q.db, none, func(ctx context.Context, c taskdb.Conn, _ []int) error {
		exists := map[key]bool{}
		for _, sum := range order {
			var err error
			if exists[key{sum.group, sum.code}], err = sum.write(ctx, c); err != nil {
				return err
			}
		}
		scopes := make([]*models.TaskScope, len(batch))
		for i, a := range batch {
			out[i].found, scopes[i] = exists[key{a.group, a.code}], a.db.Task()
		}
		return asFenced(taskdb.FenceAll(ctx, c, scopes))
	})
	for i := range busy {
		out[i].busy = busy[i]
	}
	return out, err
}
