package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

var errFlaky = errors.New("not this time")

func TestRetries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		options  tasking.DispatchOptions
		fail     func(attempt int) error
		want     models.TaskState
		attempts int
	}{
		{
			"the function asks",
			tasking.DispatchOptions{},
			func(n int) error {
				if n < 3 {
					return tasking.Retry(errFlaky, 0)
				}
				return nil
			},
			models.Completed, 3,
		},
		{
			"the function asks too often",
			tasking.DispatchOptions{MaxAttempts: 2},
			func(int) error { return fmt.Errorf("wrapped: %w", tasking.Retry(errFlaky, 0)) },
			models.Failed, 2,
		},
		{"nobody asks", tasking.DispatchOptions{}, func(int) error { return errFlaky }, models.Failed, 1},
		{
			"an error that stays",
			tasking.DispatchOptions{MaxAttempts: 5},
			func(int) error { return pulperr.Public(pulperr.Invalid, "wrong for ever") },
			models.Failed, 1,
		},
		{
			"a panic",
			tasking.DispatchOptions{MaxAttempts: 2},
			func(n int) error {
				if n == 1 {
					panic("once")
				}
				return nil
			},
			models.Completed, 2,
		},
		{
			"immediate tasks run once",
			tasking.DispatchOptions{Mode: tasking.PreferImmediate, MaxAttempts: 3},
			func(int) error { return tasking.Retry(errFlaky, 0) },
			models.Failed, 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b *bench) {
				flaky := tasking.Define[noArgs]("test.flaky")
				var runs atomic.Int32
				b.run(worker.Options{Bindings: []tasking.Binding{flaky.Bind(
					func(context.Context, *tasking.Env, noArgs) error { return tt.fail(int(runs.Add(1))) })}})
				options := tt.options
				options.Exclusive = tasking.Named("r")
				ticket, err := flaky.Dispatch(t.Context(), b.q, noArgs{}, &options)
				if err != nil {
					t.Fatal(err)
				}
				task := b.wait(ticket.TaskID, tt.want)
				if int(runs.Load()) != tt.attempts || task.Attempt != tt.attempts {
					t.Errorf("%d runs, attempt %d, want %d", runs.Load(), task.Attempt, tt.attempts)
				}
				b.noReservations()
			})
		})
	}
}

// TestRetryKeepsItsPlace lets a later task on the same resource wait until the retries are over.
func TestRetryKeepsItsPlace(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		flaky := tasking.Define[noArgs]("test.flaky")
		var runs atomic.Int32
		b.run(worker.Options{Bindings: []tasking.Binding{flaky.Bind(
			func(context.Context, *tasking.Env, noArgs) error {
				if runs.Add(1) == 1 {
					return tasking.Retry(errFlaky, 50*time.Millisecond)
				}
				return nil
			})}})
		ticket, err := flaky.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		b.begins("next")
		if task := b.get(ticket.TaskID); task.State != models.Completed || runs.Load() != 2 {
			t.Errorf("the next one began while the first was %s after %d runs", task.State, runs.Load())
		}
		b.end("next", nil)
		b.wait(next, models.Completed)
	})
}

func TestCancelWhileWaitingForARetry(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		flaky := tasking.Define[noArgs]("test.flaky")
		b.run(worker.Options{Bindings: []tasking.Binding{flaky.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				return env.Progress(ctx, "Trying", "test.trying", func(*tasking.Progress) error {
					return tasking.Retry(errFlaky, time.Hour)
				})
			})}})
		ticket, err := flaky.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the first attempt's end", func() bool {
			task := b.get(ticket.TaskID)
			return task.State == models.Waiting && task.Attempt == 1
		})
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), ticket.TaskID)
		if err != nil || len(reports) != 1 || reports[0].State != models.Failed {
			t.Errorf("reports = %+v, %v, want one that failed", reports, err)
		}
		if _, err := b.q.Cancel(t.Context(), ticket.TaskID); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Canceled)
		b.noReservations()
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		slow := tasking.Define[noArgs]("test.slow")
		var cause error
		b.run(worker.Options{Bindings: []tasking.Binding{slow.Bind(
			func(ctx context.Context, _ *tasking.Env, _ noArgs) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return ctx.Err()
			}).With(tasking.BindingOptions{Timeout: 20 * time.Millisecond})}})
		ticket, err := slow.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		task := b.wait(ticket.TaskID, models.Failed)
		if want := "The task timed out after 20ms."; task.Error == nil || task.Error.Description != want {
			t.Errorf("error = %+v, want %q", task.Error, want)
		}
		if !errors.Is(cause, tasking.ErrTimeout) {
			t.Errorf("cause = %v, want ErrTimeout", cause)
		}
	})
}

func TestShutdownPutsBackWhatMayRunAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spend int   // attempts that end before
		err   error // of the one that is told to stop
	}{
		{"the first attempt", 0, errFlaky},
		{"the last attempt", 1, errFlaky},
		{"the last attempt asks for another one", 1, tasking.Retry(errFlaky, time.Hour)},
		{"an error that would stay", 0, pulperr.Public(pulperr.NotFound, "not found in time")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b *bench) {
				flaky := tasking.Define[noArgs]("test.flaky")
				stands := make(chan struct{})
				stop := b.run(worker.Options{Grace: 20 * time.Millisecond, Bindings: []tasking.Binding{flaky.Bind(
					func(ctx context.Context, env *tasking.Env, _ noArgs) error {
						if env.Task.Attempt <= tt.spend {
							return tasking.Retry(errFlaky, 0)
						}
						close(stands)
						<-ctx.Done()
						return tt.err
					})}})
				ticket, err := flaky.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{
					MaxAttempts: 2, Exclusive: tasking.Named("r"),
				})
				if err != nil {
					t.Fatal(err)
				}
				<-stands
				stop()
				if task := b.get(ticket.TaskID); task.State != models.Waiting || task.Attempt != tt.spend || task.WorkerID != nil {
					t.Errorf("task = %s, attempt %d, worker %v, want it to wait as if it had not run", task.State, task.Attempt, task.WorkerID)
				}
			})
		})
	}
}

func TestVersionGates(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		stop := b.run(worker.Options{Versions: map[string]string{"test": "1.9"}})
		id := b.dispatch(blockArgs{Name: "gated"}, &tasking.DispatchOptions{Versions: map[string]string{"test": "1.10"}})
		for gen := range 3 { // messages that do not say what the task needs
			if err := worker.Announce(t.Context(), b.q, id, 10+gen); err != nil {
				t.Fatal(err)
			}
		}
		free := b.dispatch(blockArgs{Name: "free"})
		b.begins("free") // the old worker is not held up
		b.end("free", nil)
		b.wait(free, models.Completed)
		eventually(t, "the return of the gated task", func() bool {
			task := b.get(id)
			return task.State == models.Waiting && task.Attempt == 0
		})
		select {
		case <-b.chanOf("gated"):
			t.Error("the old worker ran the gated task")
		default:
		}
		stop() // while it runs, the two take turns at the message
		b.run(worker.Options{Versions: map[string]string{"test": "1.10.1"}})
		b.begins("gated")
		b.end("gated", nil)
		b.wait(id, models.Completed)
	})
}

func TestGatedTaskCanBeCanceled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		id := b.dispatch(blockArgs{Name: "gated"}, &tasking.DispatchOptions{Versions: map[string]string{"absent": "1"}})
		if _, err := b.q.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		b.wait(id, models.Canceled)
	})
}

func TestDispatchRequiresThePluginsOwnVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	q := b.queueWith(tasking.QueueOptions{Versions: map[string]string{"test": "2.0", "core": "3.81.0"}})
	tests := []struct {
		name string
		task string
		opts tasking.DispatchOptions
		want string
	}{
		{"its own", "test.x", tasking.DispatchOptions{}, `{"test":"2.0"}`},
		{"core's tasks have Python's names", "pulpcore.app.x", tasking.DispatchOptions{}, `{"core":"3.81.0"}`},
		{"the name that it has in Pulp", "pulp_test.app.tasks.x", tasking.DispatchOptions{}, `{"test":"2.0"}`},
		{"a plugin that is not here, by its name in Pulp", "pulp_other.app.x", tasking.DispatchOptions{}, ""},
		{"a plugin that is not here", "other.x", tasking.DispatchOptions{}, ""},
		{"asked for", "test.x", tasking.DispatchOptions{Versions: map[string]string{"a": "1"}}, `{"a":"1"}`},
		{"none", "test.x", tasking.DispatchOptions{Versions: map[string]string{}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ticket, err := tasking.Define[noArgs](tt.task).Dispatch(t.Context(), q, noArgs{}, &tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got *string
			err = b.db.Bun().NewRaw("SELECT versions FROM core_task WHERE pulp_id = ?", ticket.TaskID).Scan(t.Context(), &got)
			if err != nil || tt.want == "" && got != nil || tt.want != "" && (got == nil || *got != tt.want) {
				t.Errorf("versions = %v, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.10", "1.9", 1},
		{"1.0", "1", 0},
		{"1.0.1", "1.0", 1},
		{"3.81.0rc1", "3.81.0", -1},
		{"3.81.0rc1", "3.81.0rc2", -1},
		{"3.81.0.dev", "3.81.0", -1},
		{"v2", "2.0.0+build7", 0},
		{"", "0", 0},
		{"x", "1", -1},
	} {
		if got := worker.CompareVersions(tt.a, tt.b); got != tt.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := worker.CompareVersions(tt.b, tt.a); got != -tt.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func TestCompleteTx(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		complete := tasking.Define[string]("test.complete")
		var late error
		tried, release := make(chan struct{}), make(chan struct{})
		b.run(worker.Options{Bindings: []tasking.Binding{complete.Bind(
			func(ctx context.Context, env *tasking.Env, what string) error {
				err := env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					if err := env.CompleteTx(ctx, tx, map[string]string{"made": what}); err != nil {
						return err
					}
					if what == "rolled back" {
						return errFlaky
					}
					return nil
				})
				if err != nil {
					return err
				}
				late = env.DB.Tx(ctx, func(context.Context, *models.Tx) error { return nil })
				close(tried)
				<-release
				return errors.New("too late to matter")
			})}})
		ticket, err := complete.Dispatch(t.Context(), b.q, "it", &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		task := b.wait(ticket.TaskID, models.Completed)
		if string(task.Result) == "" || task.Error != nil {
			t.Errorf("result = %s, error = %+v", task.Result, task.Error)
		}
		b.begins("next") // although the function has not returned
		<-tried
		close(release)
		b.end("next", nil)
		b.wait(next, models.Completed)
		if late == nil {
			t.Error("a transaction after the end was committed")
		}
		back, err := complete.Dispatch(t.Context(), b.q, "rolled back", nil)
		if err != nil {
			t.Fatal(err)
		}
		if task := b.wait(back.TaskID, models.Failed); task.Result != nil {
			t.Errorf("result of a completion that was rolled back = %s", task.Result)
		}
		b.noReservations()
	})
}

// TestSlotGoesOnWithItsFollower runs a chain on one resource without a message, and so a claim, for each link.
func TestSlotGoesOnWithItsFollower(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		o := observe(t)
		b.q = b.queueWith(o.options(redisURL))
		link := tasking.Define[int]("test.link")
		const links = 20
		var order []int
		var last *tasking.Ticket
		for i := range links {
			var err error
			if last, err = link.Dispatch(t.Context(), b.q, i, &tasking.DispatchOptions{Exclusive: tasking.Named("r")}); err != nil {
				t.Fatal(err)
			}
		}
		b.run(worker.Options{Slots: 4, Bindings: []tasking.Binding{link.Bind(
			func(_ context.Context, _ *tasking.Env, i int) error { order = append(order, i); return nil })}})
		b.wait(last.TaskID, models.Completed)
		for i, n := range order {
			if i != n {
				t.Fatalf("order = %v", order)
			}
		}
		// The first link, and one each time that the slot gives others their turn.
		points := o.points()
		if n := points["batch.size{batch=claim}"] - points["duplicates{}"]; n > links/2 {
			t.Errorf("%v claims for %d links, want few", n, links)
		}
		b.noReservations()
	})
}
