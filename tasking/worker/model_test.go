package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// modelTask is a task as the reference knows it.
type modelTask struct {
	id      uuid.UUID
	uses    map[string]bool // exclusive?
	claimed *worker.Claimed
}

// granted is the reference: it walks over all tasks that have not ended, oldest first, and takes note of what they use.
func granted(live []*modelTask) map[uuid.UUID]bool {
	exclusive, shared, ok := map[string]bool{}, map[string]bool{}, map[uuid.UUID]bool{}
	for _, t := range live {
		ok[t.id] = true
		for name, x := range t.uses {
			if exclusive[name] || x && shared[name] {
				ok[t.id] = false
			}
		}
		for name, x := range t.uses {
			if x {
				exclusive[name] = true
			} else {
				shared[name] = true
			}
		}
	}
	return ok
}

// TestModelOfGrants compares which tasks are granted with the reference after each of many random operations.
func TestModelOfGrants(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		m := &model{b: b, r: rand.New(rand.NewPCG(seed, 0)), enders: [2]*worker.Ender{
			worker.NewEnder(b.q), worker.NewEnder(b.q),
		}}
		for range 250 {
			m.step()
			m.compare()
		}
		for len(m.live) > 0 {
			m.finish()
			m.claim()
		}
		b.noReservations()
	})
}

type model struct {
	b    *bench
	r    *rand.Rand
	live []*modelTask // in the order of dispatch

	enders [2]*worker.Ender // of two workers
}

func (m *model) step() {
	switch n := m.r.IntN(100); {
	case n < 30 && len(m.live) < 60:
		task, a := m.invent()
		task.id = m.b.dispatch(a)
		m.live = append(m.live, task)
	case n < 36 && len(m.live) < 60:
		m.dispatchTogether()
	case n < 56:
		for range 1 + m.r.IntN(3) {
			m.claim()
		}
		m.claimBlocked()
	case n < 72:
		m.finish()
	case n < 88:
		m.endTogether()
	case n < 92:
		m.again()
	default:
		m.cancel()
	}
}

// dispatchTogether sends several tasks at the same time. Only the database knows in which order they came.
func (m *model) dispatchTogether() {
	fresh := make([]*modelTask, 2+m.r.IntN(5))
	var wg sync.WaitGroup
	for i := range fresh {
		task, a := m.invent()
		fresh[i] = task
		wg.Go(func() {
			ticket, err := m.b.block.Dispatch(m.b.t.Context(), m.b.q, a, nil)
			if err != nil {
				m.b.t.Errorf("Dispatch() = %v", err)
				return
			}
			task.id = ticket.TaskID
		})
	}
	wg.Wait()
	order := map[uuid.UUID]int64{}
	for _, task := range fresh {
		var seq int64
		err := m.b.db.Bun().NewRaw("SELECT seq FROM core_task WHERE pulp_id = ?", task.id).Scan(m.b.t.Context(), &seq)
		if err != nil {
			m.b.t.Fatal(err)
		}
		order[task.id] = seq
	}
	slices.SortFunc(fresh, func(a, b *modelTask) int { return int(order[a.id] - order[b.id]) })
	m.live = append(m.live, fresh...)
}

// endTogether ends and cancels several tasks at the same time, in some transactions of two workers and some of users.
func (m *model) endTogether() {
	var wg sync.WaitGroup
	var left []*modelTask
	for _, task := range m.live {
		if m.r.IntN(2) == 0 || task.claimed == nil && m.r.IntN(4) > 0 {
			left = append(left, task)
			continue
		}
		ender := m.enders[m.r.IntN(len(m.enders))]
		wg.Go(func() {
			if task.claimed == nil {
				if _, err := m.b.q.Cancel(m.b.t.Context(), task.id); err != nil {
					m.b.t.Errorf("Cancel() = %v", err)
				}
			} else if ok, err := ender.End(m.b.t.Context(), task.claimed); err != nil || !ok {
				m.b.t.Errorf("end of a claimed task = %t, %v", ok, err)
			}
		})
	}
	wg.Wait()
	m.live = left
}

// again puts a claimed task back. It keeps its place.
func (m *model) again() {
	for _, i := range m.r.Perm(len(m.live)) {
		if task := m.live[i]; task.claimed != nil {
			if err := m.enders[0].Again(m.b.t.Context(), task.claimed); err != nil {
				m.b.t.Fatal(err)
			}
			task.claimed = nil
			return
		}
	}
}

// invent makes up a task.
func (m *model) invent() (*modelTask, blockArgs) {
	a := blockArgs{}
	uses := map[string]bool{}
	for range m.r.IntN(4) {
		name := fmt.Sprintf("r%d", m.r.IntN(8))
		exclusive := m.r.IntN(2) == 0
		if exclusive {
			a.Exclusive = append(a.Exclusive, name)
		} else {
			a.Shared = append(a.Shared, name)
		}
		uses[name] = uses[name] || exclusive
	}
	domain := models.CorePRN("domain", m.b.db.Domain().ID)
	uses[domain] = m.r.IntN(40) == 0
	if uses[domain] {
		a.Exclusive = append(a.Exclusive, domain)
	}
	return &modelTask{uses: uses}, a
}

func (m *model) claim() {
	ok := granted(m.live)
	for _, i := range m.r.Perm(len(m.live)) {
		if task := m.live[i]; ok[task.id] && task.claimed == nil {
			c, err := worker.Claim(m.b.t.Context(), m.b.q, task.id)
			if err != nil || c == nil {
				m.b.t.Fatalf("claim of a granted task = %v, %v", c, err)
			}
			task.claimed = c
			return
		}
	}
}

func (m *model) claimBlocked() {
	ok := granted(m.live)
	for _, i := range m.r.Perm(len(m.live)) {
		if task := m.live[i]; !ok[task.id] || task.claimed != nil {
			c, err := worker.Claim(m.b.t.Context(), m.b.q, task.id)
			if err != nil || c != nil {
				m.b.t.Fatalf("claim of a blocked or running task = %v, %v, want nothing", c, err)
			}
			return
		}
	}
}

func (m *model) finish() {
	for _, i := range m.r.Perm(len(m.live)) {
		if c := m.live[i].claimed; c != nil {
			if state, err := c.Finish(m.b.t.Context(), m.b.q); err != nil || state != models.Completed {
				m.b.t.Fatalf("finish = %s, %v", state, err)
			}
			m.live = slices.Delete(m.live, i, i+1)
			return
		}
	}
}

func (m *model) cancel() {
	for _, i := range m.r.Perm(len(m.live)) {
		if task := m.live[i]; task.claimed == nil {
			if _, err := m.b.q.Cancel(m.b.t.Context(), task.id); err != nil {
				m.b.t.Fatal(err)
			}
			m.live = slices.Delete(m.live, i, i+1)
			return
		}
	}
}

func (m *model) compare() {
	m.b.t.Helper()
	want := granted(m.live)
	list, err := inspect.List(m.b.t.Context(), m.b.q.DB(), func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("t.state IN ('waiting', 'running')")
	})
	if err != nil {
		m.b.t.Fatal(err)
	}
	found := len(list)
	for _, task := range list {
		if (task.UnblockedAt != nil) != want[task.ID] {
			m.b.t.Fatalf("task with %v is granted: %t, reference says %t", task.ReservedResources, task.UnblockedAt != nil, want[task.ID])
		}
	}
	if found != len(m.live) {
		m.b.t.Fatalf("%d live tasks, want %d", found, len(m.live))
	}
}

// span is when a task ran.
type span struct {
	id         uuid.UUID
	begin, end time.Time
	uses       map[string]bool
	runs       int
	canceled   bool
}

// TestNothingOverlapsUnderStress dispatches, cancels, doubles and invents messages from many goroutines and then looks
// at when each task ran.
func TestNothingOverlapsUnderStress(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		const dispatchers, perDispatcher = 8, 20
		work := tasking.Define[blockArgs]("test.work")
		s := &stress{b: b, spans: map[string]*span{}}
		b.run(worker.Options{Slots: 16, Bindings: []tasking.Binding{work.Bind(s.body)}})
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var wg sync.WaitGroup
		for d := range dispatchers {
			wg.Go(func() { s.dispatch(work, rand.New(rand.NewPCG(seed, uint64(d))), d, perDispatcher) })
		}
		wg.Wait()
		for _, id := range s.ids {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := b.q.Wait(ctx, id); err != nil {
				t.Fatalf("Wait() = %v; task is %+v", err, b.get(id))
			}
			cancel()
		}
		s.verify()
		b.noReservations()
	})
}

type stress struct {
	b     *bench
	mu    sync.Mutex
	spans map[string]*span
	ids   []uuid.UUID
}

func (s *stress) body(_ context.Context, _ *tasking.Env, a blockArgs) error {
	begin := time.Now()
	pause := time.NewTimer(time.Duration(rand.IntN(1500)) * time.Microsecond)
	<-pause.C
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.spans[a.Name]
	p.begin, p.end = begin, time.Now()
	p.runs++
	return nil
}

func (s *stress) dispatch(work *tasking.Task[blockArgs], r *rand.Rand, d, n int) {
	ctx := s.b.t.Context()
	var mine []uuid.UUID
	var names []string
	for i := range n {
		a := blockArgs{Name: fmt.Sprintf("%d/%d", d, i)}
		uses := map[string]bool{}
		for range r.IntN(4) {
			name := fmt.Sprintf("r%d", r.IntN(10))
			exclusive := r.IntN(2) == 0
			if exclusive {
				a.Exclusive = append(a.Exclusive, name)
			} else {
				a.Shared = append(a.Shared, name)
			}
			uses[name] = uses[name] || exclusive
		}
		s.mu.Lock()
		s.spans[a.Name] = &span{uses: uses}
		s.mu.Unlock()
		ticket, err := work.Dispatch(ctx, s.b.q, a, nil)
		if err != nil {
			s.b.t.Errorf("Dispatch() = %v", err)
			return
		}
		if r.IntN(8) == 0 { // a doubled message, or one about a blocked task
			if err := worker.Announce(ctx, s.b.q, ticket.TaskID, 1000+r.IntN(3)); err != nil {
				s.b.t.Errorf("Announce() = %v", err)
			}
		}
		s.mu.Lock()
		s.spans[a.Name].id = ticket.TaskID
		s.mu.Unlock()
		mine, names = append(mine, ticket.TaskID), append(names, a.Name)
		if r.IntN(8) == 0 {
			s.cancel(mine, names, max(0, len(mine)-1-r.IntN(10)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, mine...)
}

func (s *stress) cancel(ids []uuid.UUID, names []string, i int) {
	task, err := s.b.q.Cancel(s.b.t.Context(), ids[i])
	if err == nil && task.State == models.Canceled && task.StartedAt == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spans[names[i]].canceled = true
	}
}

func (s *stress) verify() {
	t := s.b.t
	var rows []struct {
		ID  uuid.UUID `bun:"pulp_id"`
		Seq int64     `bun:"seq"`
	}
	if err := s.b.db.Bun().NewRaw("SELECT pulp_id, seq FROM core_task ORDER BY seq").Scan(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	var list []*span
	for name, p := range s.spans {
		switch {
		case p.canceled && p.runs > 0:
			t.Errorf("%s ran though it was canceled while waiting", name)
		case p.runs > 1:
			t.Errorf("%s ran %d times", name, p.runs)
		case p.runs == 1:
			list = append(list, p)
		}
	}
	seqs := map[uuid.UUID]int64{}
	for _, r := range rows {
		seqs[r.ID] = r.Seq
	}
	slices.SortFunc(list, func(a, b *span) int { return int(seqs[a.id] - seqs[b.id]) })
	for i, p := range list {
		for _, o := range list[i+1:] {
			if o.begin.Before(p.end) && conflict(p.uses, o.uses) {
				t.Errorf("task with %v began before an earlier one with %v had ended", o.uses, p.uses)
			}
		}
	}
}

func conflict(a, b map[string]bool) bool {
	for name, x := range a {
		if y, both := b[name]; both && (x || y) {
			return true
		}
	}
	return false
}
