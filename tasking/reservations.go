package tasking

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Blocked is a waiting task that is not ready, with what is in its way.
type Blocked struct {
	Task *models.Task
	// Waits are the resources that others have or want before it, in the order in which the task names them. A task that
	// became ready while it was looked at has none.
	Waits []Wait
}

// Wait is one resource that a task waits for.
type Wait struct {
	Resource  string // PRN or name
	Exclusive bool   // whether the waiting task wants it for itself
	// Holders are the tasks before it that conflict, oldest first: those that have the resource and those that wait for
	// it in front. Of other domains' tasks only the id is set.
	Holders []*models.Task
	More    bool // there are more holders than those
	found   []reserved
}

const (
	// maxHolders is how many holders of one resource are looked up.
	maxHolders = 5
	// maxWaits is how many resources of one task are looked at.
	maxWaits = 50
	// probesAtOnce is how many look-ups share a statement.
	probesAtOnce = 100
)

// Blocked returns the waiting tasks of the queue's domain that are not ready, oldest first, at most limit of them, with
// up to five holders of each resource and up to fifty resources per task. It reads without locks, so a task that ends
// meanwhile may still be shown in the way of others.
func (q *Queue) Blocked(ctx context.Context, limit int) ([]Blocked, error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := q.List(ctx, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return sel.Where("t.state = 'waiting' AND t.unblocked_at IS NULL").OrderExpr("t.seq").Limit(int64(limit))
	})
	if err != nil {
		return nil, err
	}
	seqs, err := q.seqs(ctx, rows)
	if err != nil {
		return nil, err
	}
	list := make([]Blocked, len(rows))
	var probes []probe
	for i, t := range rows {
		list[i].Task = t
		for _, name := range t.ReservedResources[:min(len(t.ReservedResources), maxWaits)] {
			probes = append(probes, newProbe(i, seqs[t.ID], name)...)
		}
	}
	found := make([][]reserved, len(probes))
	for begin := 0; begin < len(probes); begin += probesAtOnce {
		end := min(begin+probesAtOnce, len(probes))
		if err := q.look(ctx, probes[begin:end], found[begin:end], maxHolders+1); err != nil {
			return nil, taskdb.Wrap(err, "look for what blocks tasks")
		}
	}
	tasks, err := q.holders(ctx, slices.Concat(found...))
	if err != nil {
		return nil, err
	}
	for i, p := range probes {
		list[p.blocked].add(p, found[i], tasks)
	}
	return list, nil
}

// seqs returns the places of tasks in the queue.
func (q *Queue) seqs(ctx context.Context, tasks []*models.Task) (map[uuid.UUID]int64, error) {
	ids := make([]uuid.UUID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	seqs := make(map[uuid.UUID]int64, len(tasks))
	for part := range slices.Chunk(ids, readPage) {
		var rows []struct {
			ID  uuid.UUID `bun:"pulp_id"`
			Seq int64     `bun:"seq"`
		}
		err := q.db.Bun().NewRaw("SELECT pulp_id, seq FROM core_task WHERE pulp_id IN (?)", bun.List(part)).Scan(ctx, &rows)
		if err != nil {
			return nil, taskdb.Wrap(err, "read the order of tasks")
		}
		for _, r := range rows {
			seqs[r.ID] = r.Seq
		}
	}
	return seqs, nil
}

// reserved is a reservation that was found.
type reserved struct {
	Probe int       `bun:"probe"`
	Seq   int64     `bun:"seq"`
	ID    uuid.UUID `bun:"task_id"`
}

// probe asks who of one kind comes before a task at a resource. There is one per kind because the index of reservations
// has the kind before the place in the queue.
type probe struct {
	blocked   int   // index of the waiting task
	from, seq int64 // the places that are asked for: from the first of them to before the second
	key       int64
	resource  string
	exclusive bool // how the waiting task wants it
	others    bool // whether the holders that are asked for are exclusive
}

func newProbe(blocked int, seq int64, name string) []probe {
	r := reservations([]string{name})[0]
	p := probe{blocked: blocked, seq: seq, key: r.Key, exclusive: r.Exclusive, others: true}
	p.resource = strings.TrimPrefix(name, sharedPrefix)
	if !p.exclusive {
		return []probe{p}
	}
	shared := p
	shared.others = false
	return []probe{p, shared}
}

// look fills in who is found by each of the probes, limit of them at most.
func (q *Queue) look(ctx context.Context, probes []probe, found [][]reserved, limit int) error {
	parts := make([]string, len(probes))
	var args []any
	for i, p := range probes {
		parts[i] = `SELECT * FROM (SELECT CAST(? AS BIGINT) AS probe, seq, task_id FROM core_taskresource
			WHERE rkey = ? AND exclusive = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?) AS p`
		args = append(args, i, p.key, p.others, p.from, p.seq, limit)
	}
	if len(parts) == 0 {
		return nil
	}
	var rows []reserved
	err := q.db.Bun().NewRaw(strings.Join(parts, " UNION ALL ")+" ORDER BY 1, 2", args...).Scan(ctx, &rows)
	for _, r := range rows {
		found[r.Probe] = append(found[r.Probe], r)
	}
	return err
}

// holders reads the tasks that were found, by their ids.
func (q *Queue) holders(ctx context.Context, found []reserved) (map[uuid.UUID]*models.Task, error) {
	tasks := map[uuid.UUID]*models.Task{}
	for _, r := range found {
		tasks[r.ID] = &models.Task{Base: models.Base{ID: r.ID}}
	}
	for part := range slices.Chunk(slices.Collect(maps.Keys(tasks)), readPage) {
		list, err := q.List(ctx, func(sel *bun.SelectQuery) *bun.SelectQuery {
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

// readPage is how many ids one statement names at most.
const readPage = 500

// add notes the holders that a probe found.
func (b *Blocked) add(p probe, found []reserved, tasks map[uuid.UUID]*models.Task) {
	if len(found) == 0 {
		return
	}
	last := len(b.Waits) - 1
	if last < 0 || b.Waits[last].Resource != p.resource {
		b.Waits = append(b.Waits, Wait{Resource: p.resource, Exclusive: p.exclusive})
		last++
	}
	w := &b.Waits[last]
	w.found = append(w.found, found...)
	slices.SortFunc(w.found, func(a, b reserved) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(w.found) > maxHolders {
		w.found, w.More = w.found[:maxHolders], true
	}
	w.Holders = w.Holders[:0]
	for _, r := range w.found {
		w.Holders = append(w.Holders, tasks[r.ID])
	}
}

// Unfinished returns how many tasks of the queue's domain are in each state that is not final; states without any are
// left out.
func (q *Queue) Unfinished(ctx context.Context) (map[models.TaskState]int, error) {
	var rows []struct {
		State models.TaskState `bun:"state"`
		N     int              `bun:"n"`
	}
	err := q.db.Bun().NewRaw(`SELECT state, count(*) AS n FROM core_task WHERE pulp_domain_id = ?
		AND state IN ('waiting', 'running', 'canceling') GROUP BY state`, q.domainID()).Scan(ctx, &rows)
	if err != nil {
		return nil, taskdb.Wrap(err, "count unfinished tasks")
	}
	counts := make(map[models.TaskState]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}
