package tasking

import (
	"cmp"
	"context"
	"slices"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Reserve gives the running task resources for itself that nobody has or waits for, from tx's commit until the task
// ends: rows that the task itself creates in tx, before others can see them. Make it one of the last things in tx: it
// changes the task's row, so until tx ends a cancellation of the task waits, and after 5 s is Locked.
//
// Errors: Locked if another task has or waits for one of them.
func (e *Env) Reserve(ctx context.Context, tx *models.Tx, resources ...Resource) error {
	names, err := resolve(e.DB.Registry(), resources)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(e.claimed.ReservedResources, n) })
	slices.Sort(names)
	names = slices.Compact(names)
	if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), reservations(names), 0); err != nil {
		return taskdb.Wrap(err, "reserve")
	}
	for _, name := range names {
		key := reservations([]string{name})[0].Key
		free, err := taskdb.AddReservation(ctx, taskdb.On(tx.DB), e.claimed.ID, e.claimed.Seq, name, key)
		if err != nil {
			return taskdb.Wrap(err, "reserve %q", name)
		}
		if free {
			// Already now, because the answer to the commit may get lost; to release what was not reserved does no harm.
			e.claimed.addReserved([]string{name})
			continue
		}
		if own, err := e.owns(ctx, tx, key); err != nil || !own {
			return cmp.Or(err, pulperr.Public(pulperr.Locked, "another task has reserved %q", name))
		}
	}
	return nil
}

// owns reports whether the task has reserved a resource for itself.
func (e *Env) owns(ctx context.Context, tx *models.Tx, key int64) (bool, error) {
	var found []int
	err := tx.Bun().NewRaw("SELECT 1 FROM core_taskresource WHERE rkey = ? AND exclusive = ? AND seq = ?",
		key, true, e.claimed.Seq).Scan(ctx, &found)
	return len(found) > 0, taskdb.Wrap(err, "look for an own reservation")
}

// reserved returns what the task has reserved by now, and perhaps more.
func (c *claimed) reserved() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.ReservedResources, c.extra)
}

func (c *claimed) addReserved(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra = append(c.extra, names...)
}
