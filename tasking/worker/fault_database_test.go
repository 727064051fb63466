package worker_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// pgLab is a laboratory with a Postgres of its own behind a proxy.
type pgLab struct {
	*lab
	server *dbtest.PostgresServer
	proxy  *dbtest.Proxy
}

func newPGLab(t *testing.T) *pgLab {
	t.Helper()
	redisURL := dbtest.RedisURL(t)
	server := dbtest.StartPostgres(t)
	proxy := dbtest.StartProxy(t, server.Addr())
	return &pgLab{lab: newLab(t, proxy.URL(server.URL()), redisURL), server: server, proxy: proxy}
}

// workers returns the ids of the workers' rows.
func (l *lab) workers() (ids []uuid.UUID) {
	l.t.Helper()
	list, err := inspect.Workers(l.t.Context(), l.q.DB())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, w := range list {
		ids = append(ids, w.ID)
	}
	return ids
}

func TestFaultsOfTheDatabase(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(*testing.T, *pgLab){
		"F4 dispatch without an answer":            faultDispatchWithoutAnswer,
		"F45 restart":                              faultRestart,
		"F46 down for long":                        faultDown,
		"F46b no answer for long":                  faultStall,
		"F47 claim without an answer":              faultClaimWithoutAnswer,
		"F48 end without an answer":                faultEndWithoutAnswer,
		"F48 end that does not arrive":             faultEndLost,
		"F48 end and hand-off without an answer":   faultHandOffWithoutAnswer,
		"F49 connections terminated before commit": faultTerminatedBackends,
		"F50 the claim is forgotten":               faultClaimForgotten,
		"F52 vacuum is held up":                    faultNoVacuum,
		"F60 reservation without an answer":        faultReserveWithoutAnswer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, newPGLab(t))
		})
	}
}

func faultDispatchWithoutAnswer(t *testing.T, l *pgLab) {
	count := func(name string) (n int) {
		err := l.db.Bun().NewRaw("SELECT count(*) FROM core_task WHERE logging_cid = ?", name).Scan(t.Context(), &n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dispatch := func(name, key string) error {
		a := holding(name, "")
		a.Dir = l.dir
		_, err := labTask.Dispatch(t.Context(), l.q, a, &tasking.DispatchOptions{CorrelationID: name, IdempotencyKey: key})
		return err
	}
	for _, key := range []string{"", "key"} {
		name := "x" + key
		cut := l.proxy.CutAfter("'"+name+"'", "commit")
		if err := dispatch(name, key); err == nil {
			t.Fatalf("%s: Dispatch() = nil without an answer", name)
		}
		<-cut
		if n := count(name); n != 1 {
			t.Errorf("%s: %d tasks after the first dispatch, want 1", name, n)
		}
		err := dispatch(name, key) // as a client does that got no answer
		want := 2
		if key != "" {
			want = 1
			if err == nil {
				t.Error("a second task with the same key")
			}
		}
		if n := count(name); n != want {
			t.Errorf("%s: %d tasks, want %d", name, n, want)
		}
	}
	l.work(worker.Options{})
	eventually(t, "the end of all tasks", func() bool {
		list, err := inspect.List(t.Context(), l.q.DB(), nil)
		return err == nil && !slices.ContainsFunc(list, func(t *models.Task) bool { return t.State != models.Completed })
	})
	l.ran("x", 2)
	l.ran("xkey", 1)
	l.noReservations()
}

func faultRestart(t *testing.T, l *pgLab) {
	l.work(worker.Options{TTL: 20 * time.Second})
	l.start(labConfig{Kind: worker.KindAPI, Slots: -1, TTL: 20 * time.Second})
	id := l.send(holding("x", "wait"))
	l.begun("x")
	next := l.send(holding("next", ""))
	eventually(t, "two workers", func() bool { return len(l.workers()) == 2 })
	before := l.workers()
	l.server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := labTask.Dispatch(ctx, l.q, labArgs{Dir: l.dir, Name: "lost"}, nil); err == nil {
		t.Error("Dispatch() = nil without a database")
	}
	l.let("x") // ends while there is no database
	eventually(t, "the end of the body", func() bool { return l.lines("end", "x") == 1 })
	l.server.Restart()
	l.settles(id, models.Completed)
	l.settles(next, models.Completed)
	l.ran("x", 1)
	l.ran("lost", 0)
	if after := l.workers(); !slices.Equal(before, after) {
		t.Errorf("workers before %v, after %v", before, after)
	}
}

func faultDown(t *testing.T, l *pgLab) {
	l.work(worker.Options{})
	l.start(labConfig{Kind: worker.KindAPI, Slots: -1})
	id := l.send(holding("x", "wait"))
	l.begun("x")
	eventually(t, "two workers", func() bool { return len(l.workers()) == 2 })
	before := l.workers()
	l.server.Stop()
	<-time.After(3 * labTTL)
	l.server.Restart()
	l.settles(id, models.Failed)
	task := l.get(id)
	if task.Error == nil || task.Error.Reason != "The worker lost its connection to the database." {
		t.Errorf("error = %+v", task.Error)
	}
	l.wait(l.send(holding("next", "")), models.Completed)
	if after := l.workers(); !slices.Equal(before, after) {
		t.Errorf("workers before %v, after %v", before, after)
	}
	l.noReservations()
}

// faultStall keeps everything back that workers say to the database and hear from it, for longer than their TTL. Nobody
// can tell then who is alive, and nobody may be declared dead for it.
func faultStall(t *testing.T, l *pgLab) {
	l.work(worker.Options{})
	l.start(labConfig{Kind: worker.KindAPI, Slots: -1}) // observes
	ids := map[string]uuid.UUID{}
	for _, name := range []string{"goes on", "ended"} {
		ids[name] = l.send(labArgs{Name: name, Exclusive: []string{name}, Do: "wait"})
		l.begun(name)
		ids["behind "+name] = l.send(labArgs{Name: "behind " + name, Exclusive: []string{name}})
	}
	eventually(t, "two workers", func() bool { return len(l.workers()) == 2 })
	before := l.workers()
	l.proxy.Stall()
	l.let("ended") // its end has to wait
	eventually(t, "the end of the body", func() bool { return l.lines("end", "ended") == 1 })
	sent := make(chan error, 1)
	go func() {
		_, err := labTask.Dispatch(context.WithoutCancel(t.Context()), l.q, labArgs{Dir: l.dir, Name: "during"}, nil)
		sent <- err
	}()
	<-time.After(3 * labTTL)
	l.proxy.Resume()
	if err := <-sent; err != nil {
		t.Errorf("Dispatch() = %v during the stall", err)
	}
	l.let("goes on")
	for name, id := range ids {
		l.settled(id)
		task := l.get(id)
		// Whether a task is told to stop depends on when its worker noticed.
		lost := name == "goes on" && task.Error != nil &&
			task.Error.Reason == "The worker lost its connection to the database."
		if task.State != models.Completed && !lost {
			t.Errorf("%s is %s, error %+v", name, task.State, task.Error)
		}
	}
	eventually(t, "the end of what was dispatched meanwhile", func() bool { return l.lines("end", "during") == 1 })
	for _, name := range []string{"goes on", "ended", "behind goes on", "behind ended", "during"} {
		l.ran(name, 1)
	}
	if after := l.workers(); !slices.Equal(before, after) {
		t.Errorf("workers before %v, after %v", before, after)
	}
	eventually(t, "the end of all tasks", func() bool { // what was dispatched meanwhile among them
		n, err := inspect.Unfinished(t.Context(), l.q.DB())
		return err == nil && len(n) == 0
	})
	l.noReservations()
}

// faultReserveWithoutAnswer loses the answer to the commit of a reservation that a running task makes.
func faultReserveWithoutAnswer(t *testing.T, l *pgLab) {
	reserver := tasking.Define[noArgs]("test.reserver")
	l.work(worker.Options{TTL: 10 * time.Second, Bindings: []tasking.Binding{reserver.Bind(
		func(ctx context.Context, env *tasking.Env, _ noArgs) error {
			reserve := func(names ...string) error {
				return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					return env.Reserve(ctx, tx, tasking.Named(names...)...)
				})
			}
			cut := l.proxy.CutAfter("array_append(reserved_resources", "commit")
			if err := reserve("once", "twice"); err == nil {
				t.Error("Reserve() = nil without an answer")
			}
			<-cut
			if err := reserve("twice"); err != nil { // as a task does that got no answer
				t.Errorf("second Reserve() = %v", err)
			}
			return nil
		})}})
	ticket, err := reserver.Dispatch(t.Context(), l.q, noArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.settles(ticket.TaskID, models.Completed)
	l.noReservations()
}

// faultClaimWithoutAnswer has several messages about the task that share the claim: while the first claim, of another
// task, waits, they gather.
func faultClaimWithoutAnswer(t *testing.T, l *pgLab) {
	stop := l.work(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true, TTL: 10 * time.Second})
	defer stop()
	first := l.send(labArgs{Name: "first"})
	id := l.send(holding("x", ""))
	for gen := range 6 {
		if err := worker.Announce(t.Context(), l.q, id, 1+gen); err != nil {
			t.Fatal(err)
		}
	}
	next := l.send(holding("next", ""))
	own := l.q
	l.q = l.open()
	var once atomic.Bool
	worker.SetFault(l.q, func(point string) {
		if point == "claim.before" && once.CompareAndSwap(false, true) {
			<-time.After(300 * time.Millisecond)
		}
	})
	cut := l.proxy.CutAfter("WHERE pulp_id IN ('" + id.String())
	l.work(worker.Options{Slots: 8, TTL: 10 * time.Second})
	l.q = own
	<-cut
	for _, id := range []uuid.UUID{first, id, next} {
		l.wait(id, models.Completed)
	}
	l.ran("x", 1)
	l.ran("next", 1)
	l.noReservations()
}

// settles is wait for a database whose connections break: a read that fails is made again.
func (l *pgLab) settles(id uuid.UUID, want models.TaskState) {
	l.t.Helper()
	l.settled(id)
	l.wait(id, want)
}

func (l *pgLab) settled(id uuid.UUID) {
	l.t.Helper()
	eventually(l.t, "a task's end", func() bool {
		task, err := l.q.Get(l.t.Context(), id)
		return err == nil && task.State.Final()
	})
}

// slow keeps a slot from going straight on to the task's follower.
func slow(a labArgs) labArgs {
	a.Slow = 300 * time.Millisecond
	return a
}

func faultEndWithoutAnswer(_ *testing.T, l *pgLab) {
	l.endAmid(l.proxy.CutAfter, slow(holding("x", "")))
}

func faultEndLost(_ *testing.T, l *pgLab) { l.endAmid(l.proxy.CutBefore, slow(holding("x", ""))) }

func faultHandOffWithoutAnswer(_ *testing.T, l *pgLab) { l.endAmid(l.proxy.CutAfter, holding("x", "")) }

// endAmid cuts the connection at the commit of a task's end.
func (l *pgLab) endAmid(cutAt func(...string) <-chan struct{}, a labArgs) {
	id := l.send(a)
	next := l.send(holding("next", ""))
	cut := cutAt("'completed'", "commit")
	l.work(worker.Options{TTL: 10 * time.Second})
	<-cut
	l.wait(id, models.Completed)
	l.wait(next, models.Completed)
	l.ran("x", 1)
	l.ran("next", 1)
	l.noReservations()
}

func faultTerminatedBackends(_ *testing.T, l *pgLab) {
	id := l.send(slow(holding("x", "")))
	next := l.send(holding("next", ""))
	var once atomic.Bool
	worker.SetFault(l.q, func(point string) {
		if point == "finish.before_commit" && once.CompareAndSwap(false, true) {
			l.server.Terminate()
		}
	})
	l.work(worker.Options{TTL: 10 * time.Second})
	l.settles(id, models.Completed)
	l.settles(next, models.Completed)
	l.ran("x", 1)
	l.ran("next", 1)
	l.noReservations()
}

// faultClaimForgotten sets the row back to what it was before the claim, as a failover to a replica does that never got
// the claim.
func faultClaimForgotten(t *testing.T, l *pgLab) {
	l.work(worker.Options{TTL: 10 * time.Second})
	id := l.send(holding("x", "tell"))
	defer l.let("x")
	l.begun("x")
	res, err := l.db.Bun().NewRaw(`UPDATE core_task SET state = 'waiting', worker_id = NULL, claim_id = NULL, attempt = 0,
		started_at = NULL, deliver_due = clock_timestamp() WHERE pulp_id = ?`, id).Exec(t.Context())
	if n, _ := res.RowsAffected(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if err := worker.Announce(t.Context(), l.q, id, 7); err != nil { // sooner than the worker looks at what is its own
		t.Fatal(err)
	}
	eventually(t, "a second begin", func() bool { return l.lines("begin", "x") == 2 })
	if outcome := l.says("x.outcome"); !strings.Contains(outcome, "taken from this worker") {
		t.Errorf("the first one ended with %q", outcome)
	}
	l.let("x")
	task := l.wait(id, models.Completed)
	if task.Attempt != 1 {
		t.Errorf("attempt = %d", task.Attempt)
	}
	if n := l.lines("begin", "x"); n != 2 { // the documented price of such a disaster
		t.Errorf("it began %d times, want 2", n)
	}
	l.noReservations()
}

// faultNoVacuum is an hour's transaction in small: nothing that tasks leave behind in the tables can be removed.
func faultNoVacuum(t *testing.T, l *pgLab) {
	if testing.Short() {
		t.Skip("runs many tasks")
	}
	old, err := l.db.Conn().Bun.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback() }()
	if _, err := old.ExecContext(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"); err != nil {
		t.Fatal(err)
	}
	ender := worker.NewEnder(l.q)
	const tasks, sample = 1500, 200
	took := make([]time.Duration, 0, tasks)
	for range tasks {
		id := l.dispatch(blockArgs{Exclusive: []string{"r"}})
		c, err := worker.Claim(t.Context(), l.q, id)
		if err != nil || c == nil {
			t.Fatal(c, err)
		}
		began := time.Now()
		if ok, err := ender.End(t.Context(), c); !ok || err != nil {
			t.Fatal(ok, err)
		}
		took = append(took, time.Since(began))
	}
	first, last := median(took[:sample]), median(took[tasks-sample:])
	t.Logf("end of a task: %v at first, %v after %d that nobody could clean up", first, last, tasks)
	if last > 3*first+5*time.Millisecond {
		t.Errorf("the end of a task takes %v after %d tasks, and took %v at first", last, tasks, first)
	}
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// TestFaultF51 keeps SQLite's only writer busy, and kills a process within a transaction.
func TestFaultF51(t *testing.T) {
	t.Parallel()
	l := newLab(t, dbtest.SQLite(t), dbtest.RedisURL(t))
	p := l.start(labConfig{})
	id := l.send(holding("x", "transaction"))
	l.begun("x")
	sent := make(chan error, 1)
	go func() {
		_, err := labTask.Dispatch(context.WithoutCancel(t.Context()), l.q, labArgs{Dir: l.dir, Name: "waiter"}, nil)
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("Dispatch() = %v while another process writes", err)
	case <-time.After(labTTL / 2):
	}
	p.kill()
	if err := <-sent; err != nil {
		t.Errorf("Dispatch() = %v after the writer's end", err)
	}
	l.work(worker.Options{})
	l.missing(l.wait(id, models.Failed))
	if n := l.written(); n != 0 {
		t.Errorf("%d rows of a transaction that never ended", n)
	}
	eventually(t, "the end of all tasks", func() bool { return l.lines("end", "waiter") == 1 })
	var check string
	if err := l.db.Bun().NewRaw("PRAGMA integrity_check").Scan(t.Context(), &check); err != nil || check != "ok" {
		t.Errorf("integrity check = %q, %v", check, err)
	}
}
