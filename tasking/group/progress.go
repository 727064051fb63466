package group

import (
	"context"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Progress is one progress report that the members of a group share.
type Progress struct {
	group *Group
	code  string
}

// Progress returns the report with a code, which must have been declared at the group's creation: to add to another
// fails. A task that belongs to no group has a nil group; additions to its reports have no effect.
func (g *Group) Progress(code string) Progress { return Progress{g, code} }

// Add counts n more units as done, n < 0 fewer. The database does the addition, so any number of tasks may do it at
// once; what members in one process add at the same time is written together. It is a transaction of its own: do not
// call it inside of another one, because all members would wait for the end of that.
//
// Errors: NotFound.
func (p Progress) Add(ctx context.Context, n int64) error {
	return p.add(ctx, engine.Addition{Done: n})
}

// AddTotal counts n more units that are to be done, like [Progress.Add].
//
// Errors: NotFound.
func (p Progress) AddTotal(ctx context.Context, n int64) error {
	return p.add(ctx, engine.Addition{Total: n})
}

func (p Progress) add(ctx context.Context, a engine.Addition) error {
	if p.group == nil {
		return nil
	}
	a.DB, a.Group, a.Code = p.group.db, p.group.ID, p.code
	found, err := p.group.core.Reports.Add(ctx, a)
	if err == nil && !found {
		return pulperr.Public(pulperr.NotFound, "the task group has no progress report %q", p.code)
	}
	return taskdb.Wrap(err, "change progress report %q", p.code)
}
