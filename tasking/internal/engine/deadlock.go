package engine

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// waitEdge is a task that waits for another one by [Core.Wait].
type waitEdge struct{ waiter, awaited uuid.UUID }

// waits are the calls of [Core.Wait] by tasks of this process. Its zero value has none.
type waits struct {
	mu    sync.Mutex
	edges map[waitEdge]int // a task may wait for another one twice
}

// begin notes that a task waits for another one, until end is called.
func (w *waits) begin(e waitEdge) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.edges == nil {
		w.edges = map[waitEdge]int{}
	}
	w.edges[e]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.edges[e]--; w.edges[e] == 0 {
			delete(w.edges, e)
		}
	}
}

// awaited returns the tasks that tasks of this process wait for, by waiter.
func (w *waits) awaited() map[uuid.UUID][]uuid.UUID {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := map[uuid.UUID][]uuid.UUID{}
	for e := range w.edges {
		list[e.waiter] = append(list[e.waiter], e.awaited)
	}
	return list
}

// refuseDeadlock fails if the awaited task waits, directly or not, for its waiter: both would wait for ever.
//
// One check is enough, when the wait begins. A task is blocked only by tasks before it, and a running task reserves
// only resources that no task has or waits for, so the set of blocking tasks only shrinks. A blocking task that begins
// to wait later makes the check itself.
func (w *waits) refuseDeadlock(ctx context.Context, db *models.DB, e waitEdge) error {
	if e.waiter == e.awaited {
		return pulperr.Public(pulperr.Conflict, "a task cannot wait for itself")
	}
	search := &waitSearch{
		db: db, goal: e.waiter, awaited: w.awaited(), seen: map[uuid.UUID]bool{}, looked: map[place]int64{},
	}
	found, err := search.run(ctx, e.awaited)
	if err != nil {
		return taskdb.Wrap(err, "look for what blocks task %s", e.awaited)
	}
	if found {
		return pulperr.Public(pulperr.Conflict,
			"a task cannot wait for task %s, which cannot begin or end before the first one has ended", e.awaited)
	}
	return nil
}

// waitSearch follows the waits of tasks: a blocked task waits for the tasks that block it, and a running one for the
// tasks of its calls of [Core.Wait].
type waitSearch struct {
	db      *models.DB
	goal    uuid.UUID
	awaited map[uuid.UUID][]uuid.UUID
	seen    map[uuid.UUID]bool
	looked  map[place]int64 // up to which place in the queue its reservations were looked at
	probes  []taskdb.Probe  // that are to be made
}

// place is where the reservations of one kind of one resource are.
type place struct {
	key    int64
	others bool
}

// run reports whether the task waits for the goal.
func (s *waitSearch) run(ctx context.Context, task uuid.UUID) (bool, error) {
	for next := []uuid.UUID{task}; ; {
		fresh := s.follow(next)
		if s.seen[s.goal] {
			return true, nil
		}
		if err := s.expand(ctx, fresh); err != nil {
			return false, err
		}
		if len(s.probes) == 0 {
			return false, nil
		}
		var err error
		if next, err = s.probe(ctx); err != nil {
			return false, err
		}
	}
}

// follow marks tasks, and the tasks that they wait for by [Core.Wait], as seen. It returns the newly marked ones.
func (s *waitSearch) follow(tasks []uuid.UUID) (fresh []uuid.UUID) {
	for len(tasks) > 0 {
		id := tasks[len(tasks)-1]
		tasks = tasks[:len(tasks)-1]
		if !s.seen[id] {
			s.seen[id] = true
			fresh, tasks = append(fresh, id), append(tasks, s.awaited[id]...)
		}
	}
	return fresh
}

// expand adds probes for the reservations that block tasks.
func (s *waitSearch) expand(ctx context.Context, tasks []uuid.UUID) error {
	for len(tasks) > 0 {
		page := tasks[:min(len(tasks), taskdb.ReadPage)]
		tasks = tasks[len(page):]
		blocked, err := taskdb.BlockedOf(ctx, taskdb.On(s.db), page)
		if err != nil {
			return err
		}
		for _, t := range blocked {
			for _, name := range t.ReservedResources {
				for _, p := range taskdb.Probes(0, t.Seq, name) {
					s.add(p)
				}
			}
		}
	}
	return nil
}

// add adds a probe for the reservations that no earlier probe has read.
func (s *waitSearch) add(p taskdb.Probe) {
	at := place{p.Key, p.Others}
	// Otherwise n blocked tasks on one resource would each read the reservations of those before them.
	if p.From = s.looked[at]; p.From < p.Seq {
		s.looked[at] = p.Seq
		s.probes = append(s.probes, p)
	}
}

// probe makes some of the probes and returns the tasks that they found.
func (s *waitSearch) probe(ctx context.Context) (tasks []uuid.UUID, err error) {
	n := min(len(s.probes), taskdb.MaxProbes)
	probes := s.probes[:n:n]
	s.probes = s.probes[n:]
	found := make([][]taskdb.Reserved, n)
	if err := taskdb.MakeProbes(ctx, taskdb.On(s.db), probes, found, taskdb.ReadPage); err != nil {
		return nil, err
	}
	for i, list := range found {
		for _, r := range list {
			tasks = append(tasks, r.ID)
		}
		if len(list) == taskdb.ReadPage {
			p := probes[i]
			p.From = list[taskdb.ReadPage-1].Seq + 1
			s.probes = append(s.probes, p)
		}
	}
	return tasks, nil
}
