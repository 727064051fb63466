package worker_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// holding is what a task needs that another one waits for.
func holding(name, do string) labArgs { return labArgs{Name: name, Do: do, Exclusive: []string{"r"}} }

// missing fails unless the task has failed because its worker died.
func (l *lab) missing(task *models.Task) {
	l.t.Helper()
	if task.Error == nil || task.Error.Reason != "Worker has gone missing." {
		l.t.Errorf("error = %+v, want a missing worker", task.Error)
	}
}

func TestFaultsOfWorkers(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(*testing.T, *lab){
		"F28 killed with attempts left":         faultKilledWithAttempts,
		"F29 killed before the claim":           faultKilledBeforeClaim,
		"F30 killed after the claim":            faultKilledAt("claim.committed", 0),
		"F31 killed after the body":             faultKilledAt("body.returned", 1),
		"F31 killed after CompleteTx":           faultKilledAfterComplete,
		"F32 killed before followers are sent":  faultKilledAfterFinish,
		"F34 asleep while it claims":            faultAsleepWhileClaiming,
		"F35b reaper killed":                    faultReaperKilled,
		"F36 all killed":                        faultAllKilled,
		"F37 another one of the same name":      faultSameName,
		"F38 told to end":                       faultTerminated,
		"F39 panic of another goroutine":        faultEndsItself("goroutine"),
		"F40 process ended by the body":         faultEndsItself("exit"),
		"F43 absurd clocks":                     faultClocks,
		"F44 heartbeat beside many busy tasks":  faultBusy,
		"F33 killed before the acknowledgement": faultKilledBeforeAck,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, dbURL, redisURL string) { fn(t, newLab(t, dbURL, redisURL)) })
		})
	}
}

func faultKilledWithAttempts(_ *testing.T, l *lab) {
	id := l.send(holding("x", "wait"), &tasking.DispatchOptions{MaxAttempts: 3})
	p := l.start(labConfig{})
	l.begun("x")
	next := l.send(holding("next", ""))
	p.kill()
	l.work(worker.Options{})
	eventually(l.t, "a second attempt", func() bool { return l.lines("begin", "x") == 2 })
	l.ran("next", 0)
	l.let("x")
	if task := l.wait(id, models.Completed); task.Attempt != 2 {
		l.t.Errorf("attempt = %d, want 2", task.Attempt)
	}
	l.wait(next, models.Completed)
	l.ran("x", 2)
	l.noReservations()
}

func faultKilledBeforeClaim(_ *testing.T, l *lab) {
	id := l.send(holding("x", ""))
	p := l.startAt("claim.before")
	p.kill()
	if state := l.get(id).State; state != models.Waiting {
		l.t.Errorf("the task is %s", state)
	}
	l.work(worker.Options{})
	l.wait(id, models.Completed)
	l.ran("x", 1)
}

// faultKilledAt kills the process at a point, by which the task has begun as often as runs says.
func faultKilledAt(point string, runs int) func(*testing.T, *lab) {
	return func(_ *testing.T, l *lab) {
		id := l.send(holding("x", ""))
		p := l.startAt(point)
		next := l.send(holding("next", ""))
		p.kill()
		l.work(worker.Options{})
		l.missing(l.wait(id, models.Failed))
		l.ran("x", runs)
		l.wait(next, models.Completed)
		l.noReservations()
	}
}

func faultKilledAfterComplete(_ *testing.T, l *lab) {
	id := l.send(holding("x", "complete"))
	p := l.startAt("body.returned")
	p.kill()
	next := l.send(holding("next", "")) // not before, or the process takes it, since nothing is in its way any more
	l.work(worker.Options{})
	l.wait(next, models.Completed)
	if task := l.wait(id, models.Completed); string(task.Result) != `"done"` {
		l.t.Errorf("result = %s", task.Result)
	}
	l.ran("x", 1)
	l.noReservations()
}

// faultKilledAfterFinish has a task that takes so long that its slot does not take its follower itself.
func faultKilledAfterFinish(_ *testing.T, l *lab) {
	a := holding("x", "wait")
	a.Slow = 300 * time.Millisecond
	id := l.send(a)
	p := l.start(labConfig{Fault: "finish.committed"})
	l.begun("x")
	next := l.send(holding("next", ""))
	l.let("x")
	l.says(p.id + ".fault")
	p.kill()
	if state := l.get(id).State; state != models.Completed {
		l.t.Errorf("the task is %s", state)
	}
	began := time.Now()
	l.work(worker.Options{})
	l.wait(next, models.Completed)
	if took := time.Since(began); took > 4*time.Second {
		l.t.Errorf("its follower ended after %v, want 4 s at most", took)
	}
	l.ran("x", 1)
	l.ran("next", 1)
}

func faultKilledBeforeAck(_ *testing.T, l *lab) {
	id := l.send(labArgs{Name: "x"})
	p := l.startAt("finish.delivered")
	p.kill()
	if err := worker.Announce(l.t.Context(), l.q, id, 1); err != nil { // as asynq does when the lease has expired
		l.t.Fatal(err)
	}
	last := l.send(labArgs{Name: "last"})
	l.work(worker.Options{Slots: 1})
	l.wait(last, models.Completed)
	l.wait(id, models.Completed)
	l.ran("x", 1)
}

// faultAsleepWhileClaiming has a worker claim a task when it has been given up for dead already, before it registers
// anew. The function takes no notice of anything, so that the worker's only slot is busy and leaves the rest to others.
func faultAsleepWhileClaiming(_ *testing.T, l *lab) {
	l.work(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true})
	id := l.send(holding("x", "deaf"))
	p := l.start(labConfig{Fault: "claim.before", Slots: 1})
	l.says(p.id + ".fault")
	p.signal(syscall.SIGSTOP)
	next := l.send(holding("next", ""))
	eventually(l.t, "the end of the sleeper's row", func() bool { return len(l.workers()) == 1 })
	l.neverRegisters(p)
	if err := labSay(l.dir, p.id+".on", ""); err != nil {
		l.t.Fatal(err)
	}
	p.signal(syscall.SIGCONT)
	l.begun("x")
	l.work(worker.Options{})
	l.missing(l.wait(id, models.Failed))
	l.wait(next, models.Completed)
	l.let("x")
	eventually(l.t, "the end of the function", func() bool { return l.lines("end", "x") == 1 })
	l.missing(l.wait(id, models.Failed))
	l.ran("x", 1)
	l.ran("next", 1)
	l.noReservations()
}

// neverRegisters keeps a process from registering a worker once more.
func (l *lab) neverRegisters(p *process) {
	l.t.Helper()
	refuse := "BEGIN SELECT RAISE(ABORT, 'refused'); END"
	if !strings.HasPrefix(l.dbURL, "sqlite") {
		l.exec("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$")
		refuse = "EXECUTE FUNCTION refuse()"
	}
	l.exec(fmt.Sprintf("CREATE TRIGGER refuses BEFORE INSERT ON core_worker FOR EACH ROW WHEN (NEW.pid = %d) %s",
		p.cmd.Process.Pid, refuse))
}

func faultReaperKilled(_ *testing.T, l *lab) {
	id := l.send(holding("x", "wait"))
	first := l.start(labConfig{})
	l.begun("x")
	next := l.send(holding("next", ""))
	first.kill()
	second := l.startAt("reap.taken")
	second.kill()
	if state := l.get(id).State; state != models.Running {
		l.t.Errorf("the task is %s between the takeover and its end", state)
	}
	l.work(worker.Options{})
	l.missing(l.wait(id, models.Failed))
	l.ran("x", 1)
	l.wait(next, models.Completed)
	l.ran("next", 1)
	l.noReservations()
}

func faultAllKilled(_ *testing.T, l *lab) {
	processes := []*process{l.start(labConfig{Slots: 1}), l.start(labConfig{Slots: 1})}
	one, two := l.send(labArgs{Name: "one", Do: "wait"}), l.send(labArgs{Name: "two", Do: "wait"})
	l.begun("one")
	l.begun("two")
	for _, p := range processes {
		p.kill()
	}
	l.start(labConfig{})
	l.missing(l.wait(one, models.Failed))
	l.missing(l.wait(two, models.Failed))
	l.ran("one", 1)
	l.ran("two", 1)
	l.noReservations()
}

func faultSameName(_ *testing.T, l *lab) {
	first := l.start(labConfig{Name: "same"})
	old := l.send(labArgs{Name: "old", Do: "wait"})
	l.begun("old")
	first.kill()
	l.start(labConfig{Name: "same"})
	own := l.send(labArgs{Name: "own", Do: "wait"})
	l.begun("own")
	l.missing(l.wait(old, models.Failed))
	if state := l.get(own).State; state != models.Running {
		l.t.Errorf("the successor's own task is %s", state)
	}
	l.let("own")
	l.wait(own, models.Completed)
	l.ran("old", 1)
	l.ran("own", 1)
}

func faultTerminated(_ *testing.T, l *lab) {
	p := l.start(labConfig{Grace: 100 * time.Millisecond})
	polite := l.send(labArgs{Name: "polite", Do: "wait"})
	l.begun("polite")
	if testing.Short() {
		l.terminate(p, polite)
		return
	}
	deaf := l.send(holding("deaf", "deaf"))
	l.begun("deaf")
	l.terminate(p, polite) // takes the ten seconds that a deaf task gets
	l.work(worker.Options{})
	l.missing(l.wait(deaf, models.Failed))
	l.noReservations()
}

func (l *lab) terminate(p *process, polite uuid.UUID) {
	l.t.Helper()
	p.signal(syscall.SIGTERM)
	if task := l.wait(polite, models.Failed); task.Error.Reason != "Aborted during worker shutdown." {
		l.t.Errorf("error = %+v", task.Error)
	}
	<-p.ended
}

// faultEndsItself has a function end its process.
func faultEndsItself(do string) func(*testing.T, *lab) {
	return func(_ *testing.T, l *lab) {
		id := l.send(holding("x", do))
		p := l.start(labConfig{})
		<-p.ended
		l.work(worker.Options{})
		l.missing(l.wait(id, models.Failed))
		l.ran("x", 1)
		l.noReservations()
	}
}

func faultClocks(_ *testing.T, l *lab) {
	l.start(labConfig{})
	id := l.send(holding("x", "wait"))
	l.begun("x")
	l.work(worker.Options{})
	for end := time.Now().Add(3 * labTTL); time.Now().Before(end); {
		for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
			err := l.db.Tx(l.t.Context(), func(ctx context.Context, tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("UPDATE core_worker SET last_heartbeat = ?, pulp_created = ?",
					time.Now().Add(off), time.Now().Add(off)).Exec(l.t.Context())
				return err
			})
			if err != nil {
				l.t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	if task := l.get(id); task.State != models.Running {
		l.t.Errorf("the task is %s (%+v)", task.State, task.Error)
	}
	l.let("x")
	l.wait(id, models.Completed)
}

// faultBusy keeps all connections of the pool busy, on SQLite the only one that writes, while one more task has ended
// in the database and not yet in its worker.
func faultBusy(t *testing.T, l *lab) {
	tasks := 20 // more than the pool has connections
	if l.dbURL[:6] == "sqlite" {
		tasks = 1
	}
	p := l.start(labConfig{Slots: tasks + 1, Fault: "finish.committed"})
	ids := map[string]uuid.UUID{"ending": l.send(labArgs{Name: "ending"})}
	l.says(p.id + ".fault")
	for i := range tasks {
		name := string(rune('a' + i))
		ids[name] = l.send(labArgs{Name: name, Do: "transaction"})
	}
	busy := func() (n int) {
		for name := range ids {
			n += l.lines("begin", name) - l.lines("end", name)
		}
		return n
	}
	eventually(t, "busy connections", func() bool { return busy() >= min(tasks, 14) })
	if tasks > 1 {
		l.work(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true})
		<-time.After(3 * labTTL)
	}
	if err := labSay(l.dir, p.id+".on", ""); err != nil {
		t.Fatal(err)
	}
	for name := range ids {
		l.let(name)
	}
	for name, id := range ids {
		l.wait(id, models.Completed)
		l.ran(name, 1)
	}
}

// TestFaultF35TransactionAtTheTakeover stops a process between its fence and its commit.
func TestFaultF35TransactionAtTheTakeover(t *testing.T) {
	t.Parallel()
	l := newLab(t, dbtest.Postgres(t), dbtest.RedisURL(t))
	proxy := dbtest.StartProxy(t, hostOf(t, l.dbURL))
	held, release := proxy.HoldBefore("'child'", "FOR SHARE", "commit")
	id := l.send(holding("x", "transaction"))
	p := l.start(labConfig{DB: proxy.URL(l.dbURL)})
	l.begun("x")
	l.let("x")
	<-held
	p.signal(syscall.SIGSTOP)
	next := l.send(holding("next", ""))
	l.work(worker.Options{})
	<-time.After(3 * labTTL)
	if task := l.get(id); task.State != models.Running {
		t.Errorf("the task was taken over while its transaction could still commit: it is %s", task.State)
	}
	if n := l.written(); n != 0 {
		t.Errorf("%d rows before the commit", n)
	}
	release()
	l.missing(l.wait(id, models.Failed))
	if n := l.written(); n != 1 {
		t.Errorf("%d rows after the commit, want 1", n)
	}
	l.wait(next, models.Completed)
}

// TestFaultF35TransactionAfterTheTakeover stops a process in the midst of its transaction.
func TestFaultF35TransactionAfterTheTakeover(t *testing.T) {
	t.Parallel()
	l := newLab(t, dbtest.Postgres(t), dbtest.RedisURL(t))
	id := l.send(holding("x", "transaction"))
	p := l.start(labConfig{})
	l.begun("x")
	p.signal(syscall.SIGSTOP)
	l.work(worker.Options{})
	l.missing(l.wait(id, models.Failed))
	l.let("x")
	p.signal(syscall.SIGCONT)
	if outcome := l.says("x.outcome"); outcome == "<nil>" {
		t.Error("a transaction of a task that was taken away has committed")
	}
	if n := l.written(); n != 0 {
		t.Errorf("%d rows of a task that was taken away", n)
	}
}

// written counts what the transactions of labBody have written.
func (l *lab) written() (n int) {
	l.t.Helper()
	err := l.db.Bun().NewRaw("SELECT count(*) FROM core_taskingmeta WHERE key = 'child'").Scan(l.t.Context(), &n)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// hostOf returns the host and port of a URL.
func hostOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
