package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

var deaf = tasking.Define[noArgs]("test.deaf")

// doNotListen waits for leave in a goroutine of its own and takes no notice of its context.
func doNotListen(leave <-chan struct{}) {
	var wg sync.WaitGroup
	wg.Go(func() { linger(leave) })
	wg.Wait()
}

func linger(leave <-chan struct{}) { <-leave }

func TestStuckTaskIsReported(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		leave := make(chan struct{})
		end := sync.OnceFunc(func() { close(leave) })
		t.Cleanup(end)
		type report struct {
			task *models.Task
			dump string
		}
		reports := make(chan report, 2)
		var log lockedBuffer
		b.run(worker.Options{
			Bindings: []tasking.Binding{deaf.Bind(func(context.Context, *tasking.Env, noArgs) error {
				doNotListen(leave)
				return nil
			})},
			CancelGrace: 50 * time.Millisecond,
			Tracebacks:  true,
			OnStuck:     func(task *models.Task, dump string) { reports <- report{task, dump} },
			Log:         slog.New(slog.NewTextHandler(&log, nil)),
		})
		t.Cleanup(end) // before the worker is waited for
		ticket, err := deaf.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the task's begin", func() bool { return b.get(ticket.TaskID).State == models.Running })
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		if _, err := b.q.Cancel(t.Context(), ticket.TaskID); err != nil {
			t.Fatal(err)
		}
		got := <-reports
		if got.task.ID != ticket.TaskID || got.task.Name != "test.deaf" {
			t.Errorf("OnStuck of %+v", got.task)
		}
		for _, want := range []string{"worker_test.doNotListen+", "worker_test.linger"} { // in two goroutines
			if !strings.Contains(got.dump, want) {
				t.Errorf("the dump has no %s:\n%s", want, got.dump)
			}
		}
		if strings.Contains(got.dump, "keepBeating") || strings.Contains(got.dump, "testing.tRunner") {
			t.Errorf("the dump has others' goroutines:\n%s", got.dump)
		}
		task := b.get(ticket.TaskID)
		if task.State != models.Canceling || task.Error == nil || task.Error.Traceback == nil || *task.Error.Traceback != got.dump {
			t.Errorf("task is %s with %+v, want the dump while it is canceling", task.State, task.Error)
		}
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "worker_test.linger") {
			t.Errorf("log = %s", text)
		}
		if b.get(next).UnblockedAt != nil {
			t.Error("the reservation of a task that still runs was released")
		}
		end()
		task = b.wait(ticket.TaskID, models.Canceled)
		if task.Error == nil || task.Error.Traceback == nil || *task.Error.Traceback != got.dump {
			t.Errorf("error of the canceled task = %+v, want the dump", task.Error)
		}
		b.begins("next")
		b.end("next", nil)
		b.wait(next, models.Completed)
		if len(reports) != 0 {
			t.Error("OnStuck was called twice")
		}
	})
}

// TestStacksAreForTheLog has a worker that shows clients no stacks.
func TestStacksAreForTheLog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		leave, reports, began := make(chan struct{}), make(chan string, 1), make(chan struct{})
		end := sync.OnceFunc(func() { close(leave) })
		b.run(worker.Options{
			Bindings: []tasking.Binding{deaf.Bind(func(context.Context, *tasking.Env, noArgs) error {
				close(began)
				doNotListen(leave)
				return nil
			})},
			CancelGrace: time.Millisecond,
			OnStuck:     func(_ *models.Task, dump string) { reports <- dump },
		})
		t.Cleanup(end) // before the worker is waited for
		ticket, err := deaf.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-began
		if _, err := b.q.Cancel(t.Context(), ticket.TaskID); err != nil {
			t.Fatal(err)
		}
		if dump := <-reports; !strings.Contains(dump, "worker_test.linger") {
			t.Errorf("the host is told %q", dump)
		}
		end()
		task := b.wait(ticket.TaskID, models.Canceled)
		if task.Error == nil || task.Error.Description == "" || task.Error.Traceback != nil {
			t.Errorf("error = %+v, want a description without stacks", task.Error)
		}
	})
}

// TestStuckAfterGrace measures the default in fake time.
func TestStuckAfterGrace(t *testing.T) {
	for _, tt := range []struct {
		name string
		late time.Duration // how long after its end is wished the task ends
		want int64
	}{
		{"just in time", 29 * time.Second, 0},
		{"too late", 31 * time.Second, 1},
		{"far too late", 3 * time.Hour, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := dbtest.SQLite(t)
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, url, "")
				var reports atomic.Int64
				w := b.worker(worker.Options{
					OnStuck: func(*models.Task, string) { reports.Add(1) },
					Bindings: []tasking.Binding{deaf.Bind(func(ctx context.Context, _ *tasking.Env, _ noArgs) error {
						<-ctx.Done()
						<-time.After(tt.late)
						return context.Cause(ctx)
					})},
				})
				ticket, err := deaf.Dispatch(t.Context(), b.q, noArgs{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := w.RunPending(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("RunPending() = %v, want the end of its context", err)
				}
				task := b.wait(ticket.TaskID, models.Failed)
				if task.Error.Reason != "Aborted during worker shutdown." || reports.Load() != tt.want {
					t.Errorf("error = %+v, %d reports, want %d", task.Error, reports.Load(), tt.want)
				}
				_ = b.q.Close()
				_ = b.db.Close()
			})
		})
	}
}
