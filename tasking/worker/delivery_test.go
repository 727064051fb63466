package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestMessagesAreHints(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), dbtest.RedisURL(t))
	b.run(worker.Options{Slots: 4})
	first := b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
	blocked := b.dispatch(blockArgs{Name: "blocked", Exclusive: []string{"r"}})
	b.begins("first")
	for gen := range 5 {
		for _, id := range []models.Task{{Base: models.Base{ID: first}}, {Base: models.Base{ID: blocked}}, {Base: models.Base{ID: models.NewID()}}} {
			if err := worker.Announce(t.Context(), b.q, id.ID, 10+gen); err != nil {
				t.Fatal(err)
			}
		}
	}
	inspector := asynq.NewInspectorFromRedisClient(worker.Redis(b.q))
	eventually(t, "the messages' end", func() bool {
		info, err := inspector.GetQueueInfo(worker.RedisName(b.q))
		return err == nil && info.Pending == 0 && info.Active == 1
	})
	if task := b.get(blocked); task.State != models.Waiting {
		t.Errorf("the blocked task is %s", task.State)
	}
	b.end("first", nil)
	b.wait(first, models.Completed)
	b.begins("blocked")
	b.end("blocked", nil)
	b.wait(blocked, models.Completed)
}

func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		server := dbtest.StartRedis(t)
		b := setup(t, url, server.URL())
		b.outlive(server.Restart)
	})
}

// outlive calls lose while one task runs and another one is ready, and both must run once.
func (b *bench) outlive(lose func()) {
	b.t.Helper()
	b.run(worker.Options{Slots: 1})
	running := b.dispatch(blockArgs{Name: "running"})
	b.begins("running")
	ready := b.dispatch(blockArgs{Name: "ready"})
	lose()
	b.end("running", nil)
	b.wait(running, models.Completed)
	b.begins("ready")
	b.end("ready", nil)
	b.wait(ready, models.Completed)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) != 2 {
		b.t.Errorf("runs = %v", b.order)
	}
}

func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until Redis counts as away")
	}
	server := dbtest.StartRedis(t)
	b := setup(t, dbtest.SQLite(t), server.URL())
	away := time.Now()
	server.Stop()
	before := b.dispatch(blockArgs{Name: "before"})
	b.run(worker.Options{})
	b.begins("before") // by way of the database
	if took := time.Since(away); took < 10*time.Second || took > 15*time.Second {
		t.Errorf("a task began %v after Redis was gone, want about 10 s", took)
	}
	after := b.dispatch(blockArgs{Name: "after"})
	b.begins("after")
	server.Restart()
	b.end("before", nil)
	b.end("after", nil)
	b.wait(before, models.Completed)
	b.wait(after, models.Completed)
	tries := 0
	eventually(t, "a task that came by Redis", func() bool { // and not once more from the database
		tries++
		name := fmt.Sprint("try ", tries)
		id := b.dispatch(blockArgs{Name: name})
		b.begins(name)
		byRedis := b.delivered(id)
		b.end(name, nil)
		b.wait(id, models.Completed)
		return byRedis
	})
}

// delivered reports whether Redis counts a message about the task as being worked on.
func (b *bench) delivered(id uuid.UUID) bool {
	b.t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(worker.Redis(b.q))
	list, err := inspector.ListActiveTasks(worker.RedisName(b.q)) // fails while Redis does not know the queue
	return err == nil && slices.ContainsFunc(list, func(m *asynq.TaskInfo) bool {
		return strings.HasPrefix(m.ID, id.String())
	})
}

func TestRelayDeliversWhatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, "") // its messages go into a Redis that nobody reads
		id := b.dispatch(blockArgs{Name: "x"})
		b.q = b.queue(redisURL)
		b.run(worker.Options{})
		b.begins("x")
		b.end("x", nil)
		b.wait(id, models.Completed)
	})
}

func TestShutdownWaitsForTasks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		stop := b.run(worker.Options{})
		id := b.dispatch(blockArgs{Name: "x"})
		b.begins("x")
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		late := b.dispatch(blockArgs{Name: "late"})
		b.end("x", nil)
		b.end("late", nil) // the first worker may take it before it hears of its end
		<-stopped
		if task := b.get(id); task.State != models.Completed {
			t.Errorf("state after the shutdown = %s", task.State)
		}
		if workers, err := inspect.Workers(t.Context(), b.q.DB()); err != nil || len(workers) != 0 {
			t.Errorf("Workers() = %v, %v", workers, err)
		}
		if b.get(late).State == models.Waiting {
			b.run(worker.Options{}) // takes what the first one left
		}
		b.wait(late, models.Completed)
	})
}

func TestShutdownAbortsAfterGrace(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		stop := b.run(worker.Options{Grace: 50 * time.Millisecond})
		id := b.dispatch(blockArgs{Name: "x", Exclusive: []string{"r"}})
		b.begins("x")
		stop()
		task := b.wait(id, models.Failed)
		if task.Error.Reason != "Aborted during worker shutdown." {
			t.Errorf("error = %+v", task.Error)
		}
		b.noReservations()
	})
}

func TestBurstEndsWhenAllIsDone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		first := b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
		second := b.dispatch(blockArgs{Name: "second", Exclusive: []string{"r"}})
		b.dispatch(blockArgs{Name: "other"}, &tasking.DispatchOptions{Versions: map[string]string{"absent": "1"}})
		w := b.worker(worker.Options{Burst: true})
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		for _, name := range []string{"first", "second"} {
			b.begins(name)
			select {
			case err := <-done:
				t.Fatalf("Run() = %v while %s runs", err, name)
			default:
			}
			b.end(name, nil)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, id := range []uuid.UUID{first, second} {
			if task := b.get(id); task.State != models.Completed {
				t.Errorf("task is %s after the burst", task.State)
			}
		}
	})
}

func TestManyWorkersShareTheWork(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		count := tasking.Define[noArgs]("test.count")
		var n atomic.Int32
		binding := count.Bind(func(context.Context, *tasking.Env, noArgs) error { n.Add(1); return nil })
		for range 3 {
			b.run(worker.Options{Slots: 2, Bindings: []tasking.Binding{binding}})
		}
		var wg sync.WaitGroup
		const total = 40
		tickets := make([]*tasking.Ticket, total)
		for i := range total {
			wg.Go(func() {
				var err error
				if tickets[i], err = count.Dispatch(t.Context(), b.q, noArgs{}, nil); err != nil {
					t.Errorf("Dispatch() = %v", err)
				}
			})
		}
		wg.Wait()
		for _, ticket := range tickets {
			b.wait(ticket.TaskID, models.Completed)
		}
		if n.Load() != total {
			t.Errorf("%d runs, want %d", n.Load(), total)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	id := b.dispatch(blockArgs{Name: "x"})
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, cause)
	defer cancel()
	if _, err := b.q.Wait(ctx, id); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v, want the cause", err)
	}
	if _, err := b.q.Wait(t.Context(), models.NewID()); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Wait(unknown) = %v, want NotFound", err)
	}
}

func TestNewQueueAndWorkerReportFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	if _, err := tasking.NewQueue(b.db, &tasking.QueueOptions{RedisURL: "redis://:secret@h:x/"}); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("NewQueue(bad URL) = %v, want Invalid", err)
	}
	nop := func(context.Context, *tasking.Env, noArgs) error { return nil }
	_, err := worker.New(b.q, &worker.Options{Bindings: []tasking.Binding{
		tasking.Define[noArgs]("Bad").Bind(nop), b.block.Bind(b.body), b.block.Bind(b.body),
	}})
	if !errors.Is(err, pulperr.Invalid) {
		t.Errorf("NewWorker(faults) = %v, want Invalid", err)
	}
	w := b.worker(worker.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	eventually(t, "the worker's start", func() bool {
		workers, err := inspect.Workers(t.Context(), b.q.DB())
		return err == nil && len(workers) == 1
	})
	if err := w.Run(t.Context()); !errors.Is(err, pulperr.Conflict) {
		t.Errorf("second Run() = %v, want Conflict", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
