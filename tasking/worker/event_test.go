package worker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// next returns the next event that a filter accepts.
func next(t *testing.T, s *event.Subscription, accept func(event.Event) bool) event.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for e := range s.All(ctx) {
		if accept(e) {
			return e
		}
	}
	t.Fatal("the event did not come")
	return event.Event{}
}

// statesOf reads the events of one task until its state is final.
func statesOf(t *testing.T, s *event.Subscription, id uuid.UUID) []models.TaskState {
	t.Helper()
	var states []models.TaskState
	for len(states) == 0 || !states[len(states)-1].Final() {
		e := next(t, s, func(e event.Event) bool { return e.Kind == event.TaskChanged && e.TaskID == id })
		states = append(states, e.State)
	}
	return states
}

func TestEventsTellTheLifeOfTasks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		members, err := b.q.NewGroup(t.Context(), "all")
		if err != nil {
			t.Fatal(err)
		}
		s := b.q.Subscribe()
		defer s.Close()
		b.run(worker.Options{})
		in := &tasking.DispatchOptions{Group: members}
		done := b.dispatch(blockArgs{Name: "done", Exclusive: []string{"r"}}, in)
		b.begins("done")
		waiting := b.dispatch(blockArgs{Name: "waiting", Exclusive: []string{"r"}}, in)
		if _, err := b.q.Cancel(t.Context(), waiting); err != nil {
			t.Fatal(err)
		}
		b.end("done", nil)
		got := []models.TaskState{}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for e := range s.All(ctx) {
			if e.Kind == event.Lost {
				continue // the process began to listen to the others
			}
			if e.DomainID != b.db.Domain().ID || e.GroupID == nil || *e.GroupID != members.ID || e.Name != "test.block" ||
				e.Time.IsZero() {
				t.Errorf("event = %+v", e)
			}
			if (e.WorkerID != nil) != (e.TaskID == done && e.State != models.Waiting) {
				t.Errorf("worker of %s task = %v", e.State, e.WorkerID)
			}
			got = append(got, e.State)
			if len(got) == 5 {
				break
			}
		}
		want := []models.TaskState{models.Waiting, models.Running, models.Waiting, models.Canceled, models.Completed}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		running := b.dispatch(blockArgs{Name: "running"})
		b.begins("running")
		if _, err := b.q.Cancel(t.Context(), running); err != nil {
			t.Fatal(err)
		}
		want = []models.TaskState{models.Waiting, models.Running, models.Canceling, models.Canceled}
		if diff := cmp.Diff(want, statesOf(t, s, running)); diff != "" {
			t.Errorf("states of a task that is canceled while it runs (-want +got):\n%s", diff)
		}
	})
}

var counting = tasking.Define[noArgs]("test.counting")

func TestEventsTellProgress(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		s := b.q.Subscribe()
		defer s.Close()
		binding := counting.Bind(func(ctx context.Context, e *tasking.Env, _ noArgs) error {
			return e.Progress(ctx, "Counting", "count", func(p *tasking.Progress) error {
				p.SetTotal(2)
				p.SetDone(2)
				p.SetSuffix("sheep")
				return nil
			})
		})
		w := b.worker(worker.Options{Bindings: []tasking.Binding{binding}})
		ticket, err := counting.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		isProgress := func(e event.Event) bool { return e.Kind == event.ProgressChanged }
		begin, end := next(t, s, isProgress), next(t, s, isProgress)
		if begin.TaskID != ticket.TaskID || begin.Progress.State != models.Running || begin.Progress.Total != nil {
			t.Errorf("first event = %+v %+v", begin, begin.Progress)
		}
		total, suffix := int64(2), "sheep"
		want := &event.Progress{
			ReportID: begin.Progress.ReportID, Message: "Counting", Code: "count", State: models.Completed, Total: &total,
			Done: 2, Suffix: &suffix,
		}
		if diff := cmp.Diff(want, end.Progress); diff != "" {
			t.Errorf("last event (-want +got):\n%s", diff)
		}
	})
}

func TestEventsCrossProcesses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		redisURL := dbtest.RedisURL(t)
		b := setup(t, url, redisURL)
		here := b.q
		open := func() *tasking.Queue {
			return b.queueWith(tasking.QueueOptions{RedisURL: redisURL, Prefix: worker.Prefix(here)})
		}
		b.q = open() // what only listens, with two of its kind in one process
		s := b.q.Subscribe()
		defer s.Close()
		b.run(worker.Options{NoTasks: true, Kinds: []string{worker.KindAPI}})
		b.run(worker.Options{NoTasks: true, Kinds: []string{worker.KindContent}})
		next(t, s, func(e event.Event) bool { return e.Kind == event.Lost }) // it listens now
		b.q = here
		b.run(worker.Options{})
		id := b.dispatch(blockArgs{Name: "x"})
		b.begins("x")
		b.end("x", nil)
		want := []models.TaskState{models.Waiting, models.Running, models.Completed} // each once
		if diff := cmp.Diff(want, statesOf(t, s, id)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestSlowReaderLosesEventsAndKnows(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	s := b.q.Subscribe()
	defer s.Close()
	task := &models.Task{Base: models.Base{ID: models.NewID()}, DomainID: b.db.Domain().ID}
	other := &models.Task{Base: models.Base{ID: models.NewID()}, DomainID: models.NewID()}
	for range event.BufferSize + 10 {
		worker.Emit(b.q, task, models.Running)
		worker.Emit(b.q, other, models.Running)
	}
	first, err := s.Next(t.Context())
	if err != nil || first.Kind != event.Lost {
		t.Fatalf("first event = %+v, %v, want that some are lost", first, err)
	}
	for range 9 {
		if e, err := s.Next(t.Context()); err != nil || e.TaskID != task.ID {
			t.Errorf("Next() = %+v, %v", e, err)
		}
	}
	s.Close()
	if e, err := s.Next(t.Context()); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Next() after Close = %+v, %v", e, err)
	}
}

func TestSubscriptionEndsWithContextAndQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	s := b.q.Subscribe()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := s.Next(ctx); !errors.Is(err, cause) {
		t.Errorf("Next() = %v, want the cause", err)
	}
	done := make(chan []event.Event, 1)
	go func() { done <- slices.Collect(s.All(t.Context())) }()
	if err := b.q.Close(); err != nil {
		t.Fatal(err)
	}
	if list := <-done; len(list) != 0 {
		t.Errorf("events = %v", list)
	}
	s.Close()
}

// TestEventsShareMessages has many tasks at once and counts the messages.
func TestEventsShareMessages(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), dbtest.RedisURL(t))
	client := b.redisClient()
	defer client.Close()
	sub := client.Subscribe(t.Context(), worker.Prefix(b.q)+":event")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	task := &models.Task{Base: models.Base{ID: models.NewID()}, DomainID: b.db.Domain().ID}
	const total = 1000
	for range total {
		worker.Emit(b.q, task, models.Running)
	}
	if err := b.q.Close(); err != nil {
		t.Fatal(err)
	}
	events, messages := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for events < total {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		messages++
		events += worker.EventsOf(t, m.Payload)
	}
	if messages > total/50 {
		t.Errorf("%d messages for %d events", messages, total)
	}
}

func TestEventsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := dbtest.StartRedis(t)
	b := setup(t, dbtest.SQLite(t), server.URL())
	s := b.q.Subscribe()
	defer s.Close()
	b.run(worker.Options{NoTasks: true})
	isLost := func(e event.Event) bool { return e.Kind == event.Lost }
	next(t, s, isLost)
	server.Stop()
	task := &models.Task{Base: models.Base{ID: models.NewID()}, DomainID: b.db.Domain().ID}
	worker.Emit(b.q, task, models.Running) // does not wait
	next(t, s, func(e event.Event) bool { return e.TaskID == task.ID })
	server.Restart()
	next(t, s, isLost) // connected again
}

func BenchmarkEmit(b *testing.B) {
	for _, listening := range []bool{false, true} {
		name := "nobody listens"
		if listening {
			name = "somebody listens"
		}
		b.Run(name, func(b *testing.B) {
			bn := setup(b, dbtest.SQLite(b), dbtest.RedisURL(b))
			if listening {
				s := bn.q.Subscribe()
				defer s.Close()
			}
			task := &models.Task{Base: models.Base{ID: models.NewID()}, DomainID: bn.db.Domain().ID, Name: "test.block"}
			b.ReportAllocs()
			for b.Loop() {
				worker.Emit(bn.q, task, models.Running)
			}
		})
	}
}
