package inspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// PurgeOptions are the parts of a purge that have defaults.
type PurgeOptions struct {
	// States are those of the tasks that go; only final ones are allowed. Default (nil): completed ones.
	States []models.TaskState
	// AllDomains purges the tasks of all domains instead of those of the queue's.
	AllDomains bool
	// Done is called after each batch with the counts so far. Default: no call.
	Done func(Purged)
	Log  *slog.Logger // of tasks that cannot be removed; default: nowhere
}

// Purged counts what a purge removed.
type Purged struct {
	Tasks            int64
	ProgressReports  int64 // of those tasks
	CreatedResources int64 // records that those tasks made something; what they made stays
	Groups           int64
	GroupReports     int64 // of those groups
	Failed           int64 // tasks that stay because a plugin's row refers to them
}

// Total returns how many rows were removed.
func (p *Purged) Total() int64 {
	return p.Tasks + p.ProgressReports + p.CreatedResources + p.Groups + p.GroupReports
}

func (p *Purged) add(more Purged) {
	p.Tasks += more.Tasks
	p.ProgressReports += more.ProgressReports
	p.CreatedResources += more.CreatedResources
	p.Groups += more.Groups
	p.GroupReports += more.GroupReports
}

// purgeBatch is how many tasks one transaction removes.
const purgeBatch = 1000

// Purge removes tasks that ended before a time, with their progress reports and their records of created resources. A
// task that has not ended is never touched. Each batch of 1000 is a transaction of its own: after an error or the end
// of ctx the batches before it stay removed, and the counts returned with the error include them.
//
// It also removes task groups that have no task left, because no other operation removes them: groups that were
// finished or canceled, see tasking.Group.Finish, and have not changed since that time. Other groups may still get
// members.
//
// Errors: Invalid if a state is not final.
func Purge(ctx context.Context, db *models.DB, before time.Time, opts *PurgeOptions) (Purged, error) {
	p := &purge{db: db, before: before.UTC().Truncate(time.Microsecond)}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Log == nil {
		p.opts.Log = slog.New(slog.DiscardHandler)
	}
	if p.opts.States == nil {
		p.opts.States = []models.TaskState{models.Completed}
	}
	for _, s := range p.opts.States {
		if !s.Final() {
			return p.done, pulperr.Public(pulperr.Invalid, "tasks in the state %q have not ended and cannot be purged",
				string(s))
		}
	}
	if !p.opts.AllDomains && db.Domain() == nil {
		return p.done, fmt.Errorf("tasking: purge: the database handle has no domain; bind one, or set AllDomains: %w",
			pulperr.Invalid)
	}
	for _, step := range []func(context.Context) error{p.tasks, p.groups} {
		if err := step(ctx); err != nil {
			return p.done, taskdb.Wrap(err, "purge tasks")
		}
	}
	return p.done, nil
}

// purge is one call of Purge.
type purge struct {
	db     *models.DB
	before time.Time
	opts   PurgeOptions
	done   Purged
}

func (p *purge) report() {
	if p.opts.Done != nil {
		p.opts.Done(p.done)
	}
}

// args are those of the statements that look for rows. A purge of all domains asks for none.
func (p *purge) args() sqldialect.Named {
	return sqldialect.Named{
		"before": p.before, "all": p.opts.AllDomains, "domain": domainID(p.db), "limit": purgeBatch,
		"lock": taskdb.On(p.db).SkipLocked(),
	}
}

// ended is a task that is to go.
type ended struct {
	ID       uuid.UUID `bun:"pulp_id"`
	Finished time.Time `bun:"finished_at"`
}

// tasks removes the tasks that ended before the time, page by page, in the order of their ends.
func (p *purge) tasks(ctx context.Context) error {
	if len(p.opts.States) == 0 {
		return nil
	}
	last := ended{Finished: time.Unix(0, 0).UTC()}
	for {
		args := p.args()
		args["states"], args["last"], args["at"] = bun.List(p.opts.States), last.ID, last.Finished
		var page []ended
		err := p.db.Bun().NewRaw(`SELECT pulp_id, finished_at FROM core_task WHERE finished_at < ?before
			AND (finished_at, pulp_id) > (?at, ?last) AND state IN (?states) AND (?all OR pulp_domain_id = ?domain)
			ORDER BY finished_at, pulp_id LIMIT ?limit`, args).Scan(ctx, &page)
		if err != nil || len(page) == 0 {
			return err
		}
		ids := make([]uuid.UUID, len(page))
		for i, t := range page {
			ids[i] = t.ID
		}
		if err := p.remove(ctx, ids); err != nil {
			return err
		}
		// The next page begins behind this one, because tasks that cannot be removed would come again in each page.
		last = page[len(page)-1]
		p.report()
	}
}

// remove deletes tasks in one transaction. If a row refers to one of them it tries each half by itself, down to the
// tasks that have to stay.
func (p *purge) remove(ctx context.Context, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	var gone Purged
	err := taskdb.Tx(ctx, p.db, func(ctx context.Context, tx *models.Tx) error {
		deleted, err := taskdb.DeleteEnded(ctx, taskdb.On(tx.DB), ids)
		gone = Purged{
			Tasks: deleted.Tasks, ProgressReports: deleted.ProgressReports, CreatedResources: deleted.CreatedResources,
		}
		return err
	})
	switch {
	case err == nil:
		p.done.add(gone)
		return nil
	case !sqldialect.IsReferenced(err):
		return err
	case len(ids) == 1:
		p.opts.Log.WarnContext(ctx, "task cannot be purged", "task_id", ids[0], "err", err)
		p.done.Failed++
		return nil
	}
	return errors.Join(p.remove(ctx, ids[:len(ids)/2]), p.remove(ctx, ids[len(ids)/2:]))
}

// groups goes through the groups that are over.
func (p *purge) groups(ctx context.Context) error {
	for {
		var gone Purged
		err := taskdb.Tx(ctx, p.db, func(ctx context.Context, tx *models.Tx) (err error) {
			gone, err = p.deleteGroups(ctx, tx)
			return err
		})
		if err != nil || gone.Groups == 0 {
			return err
		}
		p.done.add(gone)
		p.report()
	}
}

// deleteGroups deletes a batch of groups. A group into which a task is being dispatched is locked and left out.
func (p *purge) deleteGroups(ctx context.Context, tx *models.Tx) (gone Purged, err error) {
	const empty = "NOT EXISTS (SELECT 1 FROM core_task t WHERE t.task_group_id = core_taskgroup.pulp_id)"
	var ids []uuid.UUID
	err = tx.Bun().NewRaw(`SELECT pulp_id FROM core_taskgroup WHERE all_tasks_dispatched AND pulp_last_updated < ?before
		AND (?all OR pulp_domain_id = ?domain) AND `+empty+" ORDER BY pulp_last_updated LIMIT ?limit ?lock", p.args()).
		Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return Purged{}, err
	}
	c := taskdb.On(tx.DB)
	// A member may have been dispatched between the read and the lock, so both statements repeat the condition.
	gone.GroupReports, err = taskdb.Exec(ctx, c, `DELETE FROM core_groupprogressreport WHERE task_group_id IN
		(SELECT pulp_id FROM core_taskgroup WHERE pulp_id IN (?) AND `+empty+")", bun.List(ids))
	if err != nil {
		return Purged{}, err
	}
	gone.Groups, err = taskdb.Exec(ctx, c, "DELETE FROM core_taskgroup WHERE pulp_id IN (?) AND "+empty, bun.List(ids))
	return gone, err
}
