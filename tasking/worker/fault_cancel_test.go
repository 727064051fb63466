package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// TestFaultF63CancelWhileEnding races cancellations of running tasks with their ends.
func TestFaultF63CancelWhileEnding(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		ender := worker.NewEnder(b.q)
		outcomes := map[models.TaskState]int{}
		for range 60 {
			id := b.dispatch(blockArgs{Exclusive: []string{"r"}})
			c := b.claim(id)
			ended := make(chan error, 1)
			go func() {
				_, err := ender.End(t.Context(), c)
				ended <- err
			}()
			_, err := b.q.Cancel(t.Context(), id)
			if err := <-ended; err != nil {
				t.Fatalf("end = %v", err)
			}
			task := b.get(id)
			outcomes[task.State]++
			if conflict := errors.Is(err, pulperr.Conflict); conflict != (task.State == models.Completed) {
				t.Errorf("Cancel() = %v of a task that is then %s", err, task.State)
			}
			if task.State != models.Completed && task.State != models.Canceled {
				t.Errorf("state = %s", task.State)
			}
		}
		t.Log(outcomes)
		b.noReservations()
	})
}

// TestFaultF69ImmediateTaskIgnoresItsEnd keeps its reservation for as long as it really runs.
func TestFaultF69ImmediateTaskIgnoresItsEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes six seconds")
	}
	l := newLab(t, dbtest.SQLite(t), dbtest.RedisURL(t))
	l.work(worker.Options{})
	eventually(t, "the worker", func() bool { return len(l.workers()) == 1 })
	ticket, err := labTask.Dispatch(t.Context(), l.q, labArgs{Dir: l.dir, Name: "x", Do: "deaf", Exclusive: []string{"r"}},
		&tasking.DispatchOptions{Mode: tasking.PreferImmediate})
	if err != nil || ticket.State != models.Running {
		t.Fatalf("Dispatch() = %+v, %v, want a running task", ticket, err)
	}
	next := l.send(holding("next", ""))
	if l.granted(next) {
		t.Error("the reservation was released while the function runs")
	}
	l.let("x")
	l.wait(next, models.Completed)
	if task := l.wait(ticket.TaskID, models.Completed); task.FinishedAt.Sub(*task.StartedAt) < 5*time.Second {
		t.Errorf("task = %+v", task) // its function returned nil, so it has done its work, if late
	}
}

func TestFaultF70APIProcessKilled(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		l := newLab(t, dbURL, redisURL)
		a := holding("x", "wait")
		p := l.start(labConfig{Kind: worker.KindAPI, Slots: -1, Dispatch: &a, Inline: true})
		l.begun("x")
		next := l.send(holding("next", ""))
		p.kill()
		l.work(worker.Options{})
		l.wait(next, models.Completed)
		list, err := inspect.List(t.Context(), l.q.DB(), nil)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		l.missing(l.wait(list[1].ID, models.Failed))
		l.ran("x", 1)
		l.noReservations()
	})
}

// TestFaultF71IncompatibleVersions has a task that the only worker is too old for.
func TestFaultF71IncompatibleVersions(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until somebody looks for what is left over")
	}
	l := newRedisLab(t, dbtest.SQLite(t))
	l.work(worker.Options{Versions: map[string]string{"lab": "1.9"}})
	o := func() *tasking.DispatchOptions {
		return &tasking.DispatchOptions{Versions: map[string]string{"lab": "1.10"}}
	}
	task, canceled := l.send(labArgs{Name: "x"}, o()), l.send(labArgs{Name: "canceled"}, o())
	eventually(t, "messages that were put back", func() bool {
		info, err := l.inspector().GetQueueInfo(worker.RedisName(l.q))
		return err == nil && info.Retry == 2 && info.Archived == 0
	})
	if _, err := l.q.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	if state := l.get(task).State; state != models.Waiting {
		t.Errorf("the task is %s", state)
	}
	own := l.q
	l.q = l.open()
	l.work(worker.Options{Versions: map[string]string{"lab": "1.10.1"}})
	l.q = own
	l.wait(task, models.Completed)
	l.ran("x", 1)
	l.ran("canceled", 0)
}

// TestTooOldWorkersKeepNoTasks has messages that idle workers leave to others, and a new worker that could take them.
func TestTooOldWorkersKeepNoTasks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until somebody looks for what is left over")
	}
	both(t, func(t *testing.T, dbURL, redisURL string) {
		l := newLab(t, dbURL, redisURL)
		const tasks = 6
		for range 2 {
			l.work(worker.Options{Versions: map[string]string{"lab": "1.9"}})
		}
		ids := map[string]uuid.UUID{}
		for i := range tasks {
			name := fmt.Sprint("x", i)
			ids[name] = l.send(labArgs{Name: name}, &tasking.DispatchOptions{Versions: map[string]string{"lab": "1.10"}})
		}
		inspector := asynq.NewInspectorFromRedisClient(worker.Redis(l.q))
		eventually(t, "messages that were put back", func() bool {
			info, err := inspector.GetQueueInfo(worker.RedisName(l.q))
			return err == nil && info.Retry == tasks
		})
		began := time.Now()
		l.work(worker.Options{Versions: map[string]string{"lab": "1.10"}})
		for name, id := range ids {
			l.wait(id, models.Completed)
			l.ran(name, 1)
		}
		if took := time.Since(began); took > 12*time.Second { // the messages come again after 15 s at the earliest
			t.Errorf("the tasks took %v", took)
		}
	})
}

func TestFaultF77KeyLost(t *testing.T) {
	t.Parallel()
	url := dbtest.SQLite(t)
	b := setup(t, url, "")
	id := b.dispatch(blockArgs{Name: "x", Exclusive: []string{"r"}})
	keys, err := secrets.NewKeyring(bytes.Repeat([]byte("x"), 32))
	if err != nil {
		t.Fatal(err)
	}
	b.db = modelstest.Open(t, url, &models.DBOptions{Keys: keys})
	b.q = b.queue("")
	if err := b.worker(worker.Options{}).RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	task := b.wait(id, models.Failed)
	if task.Error == nil || task.Error.Description == "" || len(b.order) != 0 {
		t.Errorf("error = %+v, runs = %v", task.Error, b.order)
	}
	if list, err := inspect.List(t.Context(), b.q.DB(), nil); err != nil || len(list) != 1 {
		t.Errorf("List() = %v, %v", list, err)
	}
	if err := inspect.Delete(t.Context(), b.q.DB(), id); err != nil {
		t.Errorf("Delete() = %v", err)
	}
	b.noReservations()
}

// TestFaultF78ShutdownAtAnyMoment stops workers while they keep house. That no goroutine is left is TestMain's to see.
func TestFaultF78ShutdownAtAnyMoment(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		l := newLab(t, dbURL, redisURL)
		for i := range 12 {
			killed := l.start(labConfig{Slots: 1})
			name := string(rune('a' + i))
			id := l.send(labArgs{Name: name, Do: "wait", Exclusive: []string{"r"}})
			l.begun(name)
			if i%4 != 0 {
				l.let(name)
				l.wait(id, models.Completed)
			}
			killed.kill()
			stop := l.work(worker.Options{TTL: 60 * time.Millisecond})
			<-time.After(time.Duration(i*17) * time.Millisecond)
			stop()
			if i%4 == 0 { // perhaps the worker was there long enough
				stop = l.work(worker.Options{})
				l.missing(l.wait(id, models.Failed))
				stop()
			}
			l.ran(name, 1)
		}
		l.noReservations()
	})
}
