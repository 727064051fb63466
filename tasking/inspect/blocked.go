package inspect

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// BlockedTask is a waiting task that is not ready, with the tasks that block it.
type BlockedTask struct {
	Task *models.Task
	// Obstacles are the resources that earlier tasks have or wait for, in the order in which the task names them. A task
	// that became ready during the call has none.
	Obstacles []Obstacle
}

// Obstacle is one resource that a task waits for.
type Obstacle struct {
	Resource  string // PRN or name
	Exclusive bool   // whether the waiting task wants it for itself
	// Holders are the conflicting tasks before it, oldest first: tasks that have the resource, and tasks that wait for it
	// too. Of other domains' tasks only the id is set.
	Holders []*models.Task
	More    bool // there are more holders than those
	found   []taskdb.Reserved
}

const (
	// maxHolders is how many holders of one resource are read.
	maxHolders = 5
	// maxWaits is how many resources of one task are read.
	maxWaits = 50
)

// Blocked returns the waiting tasks of the domain of db that are not ready, oldest first, at most limit of them, with
// up to five holders of each resource and up to fifty resources per task. It reads without locks, so a task that ends
// meanwhile may still be shown in the way of others.
func Blocked(ctx context.Context, db *models.DB, limit int) ([]BlockedTask, error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := List(ctx, db, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return sel.Where("t.state = 'waiting' AND t.unblocked_at IS NULL").OrderExpr("t.seq").Limit(int64(limit))
	})
	if err != nil {
		return nil, err
	}
	seqs, err := seqs(ctx, db, rows)
	if err != nil {
		return nil, err
	}
	list := make([]BlockedTask, len(rows))
	var probes []taskdb.Probe
	for i, t := range rows {
		list[i].Task = t
		for _, name := range t.ReservedResources[:min(len(t.ReservedResources), maxWaits)] {
			probes = append(probes, taskdb.Probes(i, seqs[t.ID], name)...)
		}
	}
	found := make([][]taskdb.Reserved, len(probes))
	for begin := 0; begin < len(probes); begin += taskdb.MaxProbes {
		end := min(begin+taskdb.MaxProbes, len(probes))
		// One holder more than is shown, for the field More.
		if err := taskdb.MakeProbes(ctx, taskdb.On(db), probes[begin:end], found[begin:end], maxHolders+1); err != nil {
			return nil, taskdb.Wrap(err, "look for what blocks tasks")
		}
	}
	tasks, err := holders(ctx, db, slices.Concat(found...))
	if err != nil {
		return nil, err
	}
	for i, p := range probes {
		list[p.Blocked].add(p, found[i], tasks)
	}
	return list, nil
}

// seqs returns the places of tasks in the queue.
func seqs(ctx context.Context, db *models.DB, tasks []*models.Task) (map[uuid.UUID]int64, error) {
	ids := make([]uuid.UUID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	seqs := make(map[uuid.UUID]int64, len(tasks))
	for part := range slices.Chunk(ids, taskdb.ReadPage) {
		var rows []struct {
			ID  uuid.UUID `bun:"pulp_id"`
			Seq int64     `bun:"seq"`
		}
		err := db.Bun().NewRaw("SELECT pulp_id, seq FROM core_task WHERE pulp_id IN (?)", bun.List(part)).Scan(ctx, &rows)
		if err != nil {
			return nil, taskdb.Wrap(err, "read the order of tasks")
		}
		for _, r := range rows {
			seqs[r.ID] = r.Seq
		}
	}
	return seqs, nil
}

// holders reads the tasks that were found, by their ids.
func holders(ctx context.Context, db *models.DB, found []taskdb.Reserved) (map[uuid.UUID]*models.Task, error) {
	tasks := map[uuid.UUID]*models.Task{}
	for _, r := range found {
		// Tasks of other domains are not read below: callers see only their ids.
		tasks[r.ID] = &models.Task{Base: models.Base{ID: r.ID}}
	}
	for part := range slices.Chunk(slices.Collect(maps.Keys(tasks)), taskdb.ReadPage) {
		list, err := List(ctx, db, func(sel *bun.SelectQuery) *bun.SelectQuery {
			return sel.Where("t.pulp_id IN (?)", bun.List(part))
		})
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			tasks[t.ID] = t
		}
	}
	return tasks, nil
}

// add notes the holders that a probe found.
func (b *BlockedTask) add(p taskdb.Probe, found []taskdb.Reserved, tasks map[uuid.UUID]*models.Task) {
	if len(found) == 0 {
		return
	}
	last := len(b.Obstacles) - 1
	if last < 0 || b.Obstacles[last].Resource != p.Resource {
		b.Obstacles = append(b.Obstacles, Obstacle{Resource: p.Resource, Exclusive: p.Exclusive})
		last++
	}
	w := &b.Obstacles[last]
	w.found = append(w.found, found...)
	slices.SortFunc(w.found, func(a, b taskdb.Reserved) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(w.found) > maxHolders {
		w.found, w.More = w.found[:maxHolders], true
	}
	w.Holders = w.Holders[:0]
	for _, r := range w.found {
		w.Holders = append(w.Holders, tasks[r.ID])
	}
}

// Unfinished returns how many tasks of the domain of db are in each state that is not final; states without any are
// left out.
func Unfinished(ctx context.Context, db *models.DB) (map[models.TaskState]int, error) {
	var rows []struct {
		State models.TaskState `bun:"state"`
		N     int              `bun:"n"`
	}
	err := db.Bun().NewRaw(`SELECT state, count(*) AS n FROM core_task WHERE pulp_domain_id = ?
		AND state IN ('waiting', 'running', 'canceling') GROUP BY state`, domainID(db)).Scan(ctx, &rows)
	if err != nil {
		return nil, taskdb.Wrap(err, "count unfinished tasks")
	}
	counts := make(map[models.TaskState]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}
