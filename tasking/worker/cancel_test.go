package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestCancelWaitingTaskFreesItsFollowers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		b.dispatch(blockArgs{Name: "sharer", Shared: []string{"r"}})
		b.begins("sharer")
		blocked := b.dispatch(blockArgs{Name: "blocked", Exclusive: []string{"r"}})
		behind := b.dispatch(blockArgs{Name: "behind", Shared: []string{"r"}})
		task, err := b.q.Cancel(t.Context(), blocked)
		if err != nil || task.State != models.Canceled || task.StartedAt != nil || task.FinishedAt == nil {
			t.Fatalf("Cancel() = %+v, %v", task, err)
		}
		b.begins("behind")
		b.end("behind", nil)
		b.wait(behind, models.Completed)
		b.end("sharer", nil)
		if task, err = b.q.Cancel(t.Context(), blocked); err != nil || task.State != models.Canceled {
			t.Errorf("second Cancel() = %v, %v", task, err)
		}
		if _, err := b.q.Cancel(t.Context(), behind); !errors.Is(err, pulperr.Conflict) {
			t.Errorf("Cancel(completed) = %v, want Conflict", err)
		}
		if _, err := b.q.Cancel(t.Context(), models.NewID()); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("Cancel(unknown) = %v, want NotFound", err)
		}
	})
}

func TestCancelRunningTask(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		began, causes := make(chan struct{}), make(chan error, 1)
		stubborn := tasking.Define[noArgs]("test.stubborn")
		leave := make(chan struct{})
		b.run(worker.Options{Bindings: []tasking.Binding{stubborn.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				return env.Progress(ctx, "m", "c", func(*tasking.Progress) error {
					close(began)
					<-ctx.Done()
					causes <- context.Cause(ctx)
					<-leave
					return context.Cause(ctx)
				})
			})}})
		ticket, err := stubborn.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		select { // a task that is canceled before its report begins never gets to it
		case <-began:
		case <-time.After(20 * time.Second):
			t.Fatal("the report does not begin")
		}
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		task, err := b.q.Cancel(t.Context(), ticket.TaskID)
		if err != nil || task.State != models.Canceling {
			t.Fatalf("Cancel() = %v, %v", task, err)
		}
		if cause := <-causes; !errors.Is(cause, tasking.ErrCanceled) || !errors.Is(cause, pulperr.Canceled) {
			t.Errorf("cause = %v", cause)
		}
		if b.get(next).UnblockedAt != nil {
			t.Error("the reservation of a task that still runs was released")
		}
		close(leave)
		task = b.wait(ticket.TaskID, models.Canceled)
		if task.Error != nil || task.Result != nil {
			t.Errorf("error, result = %v, %s", task.Error, task.Result)
		}
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), ticket.TaskID)
		if err != nil || len(reports) != 1 || reports[0].State != models.Canceled {
			t.Errorf("reports = %v, %v", reports, err)
		}
		b.begins("next")
		b.end("next", nil)
		b.wait(next, models.Completed)
	})
}

// TestCancelWhileClaimed races cancellations of waiting tasks with their claims.
func TestCancelWhileClaimed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		for range 40 {
			id := b.dispatch(blockArgs{Exclusive: []string{"r"}})
			claims := make(chan *worker.Claimed, 1)
			go func() {
				c, err := worker.Claim(t.Context(), b.q, id)
				if err != nil {
					t.Errorf("claim = %v", err)
				}
				claims <- c
			}()
			task, err := b.q.Cancel(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			c := <-claims
			switch {
			case c == nil && task.State != models.Canceled:
				t.Fatalf("not claimed and %s", task.State)
			case c != nil && task.State != models.Canceling && task.State != models.Running:
				t.Fatalf("claimed and %s", task.State)
			case c != nil:
				if state, err := c.Finish(t.Context(), b.q); err != nil || state != models.Canceled {
					t.Fatalf("finish of a canceled task = %s, %v", state, err)
				}
			}
		}
		b.noReservations()
	})
}

// TestCancelOfATaskThatReservedMeanwhile has a task run between the look at it and its cancellation, reserve one more
// resource and wait for its next attempt.
func TestCancelOfATaskThatReservedMeanwhile(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		reserver := tasking.Define[noArgs]("test.reserver")
		reserve := make(chan struct{})
		var once sync.Once
		var id uuid.UUID
		worker.SetFault(b.q, func(point string) {
			if point != "cancel.read" {
				return
			}
			once.Do(func() {
				close(reserve)
				eventually(t, "the end of the attempt", func() bool {
					task := b.get(id)
					return task.State == models.Waiting && task.Attempt == 1
				})
			})
		})
		b.run(worker.Options{Bindings: []tasking.Binding{reserver.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				<-reserve
				err := env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
					return env.Reserve(ctx, tx, tasking.Named("new")...)
				})
				return errors.Join(err, tasking.Retry(errFlaky, time.Hour))
			})}})
		ticket, err := reserver.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("own")})
		if err != nil {
			t.Fatal(err)
		}
		id = ticket.TaskID
		behind := b.dispatch(blockArgs{Name: "behind", Exclusive: []string{"own"}})
		if task, err := b.q.Cancel(t.Context(), id); err != nil || task.State != models.Canceled {
			t.Errorf("Cancel() = %+v, %v", task, err)
		}
		b.begins("behind")
		b.end("behind", nil)
		b.wait(behind, models.Completed)
		b.noReservations()
	})
}

func TestGroup(t *testing.T) {
	t.Parallel()
	const members, steps = 10, 5
	each(t, func(t *testing.T, b *bench) {
		member := tasking.Define[int]("test.member")
		b.run(worker.Options{Slots: 8, Bindings: []tasking.Binding{member.Bind(
			func(ctx context.Context, env *tasking.Env, n int) error {
				for range steps {
					if err := env.Group.Progress("count").Add(ctx, 1); err != nil {
						return err
					}
				}
				if n == 0 {
					return errors.New("no")
				}
				return env.Group.Progress("missing").Add(ctx, 1)
			})}})
		together, err := b.q.NewGroup(t.Context(), "Members",
			group.Report{Message: "Counting", Code: "count", Total: members * steps},
			group.Report{Message: "Other", Code: "other", Suffix: "s"})
		if err != nil {
			t.Fatal(err)
		}
		var ids []uuid.UUID
		for n := range members {
			ticket, err := member.Dispatch(t.Context(), b.q, n, &tasking.DispatchOptions{Group: together})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, ticket.TaskID)
		}
		if err := together.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			b.wait(id, models.Failed)
		}
		counts, err := together.Counts(t.Context())
		if err != nil || len(counts) != 1 || counts[models.Failed] != members {
			t.Errorf("Counts() = %v, %v", counts, err)
		}
		reports, err := together.Reports(t.Context())
		if err != nil || len(reports) != 2 || reports[0].Done != members*steps || reports[0].Total != members*steps {
			t.Errorf("Reports() = %+v, %v", reports, err)
		}
		row, err := together.Row(t.Context())
		if err != nil || !row.AllTasksDispatched || row.CanceledAt != nil {
			t.Errorf("Row() = %+v, %v", row, err)
		}
		if _, err := b.q.NewGroup(t.Context(), "x", group.Report{Code: "a"}, group.Report{Code: "a"}); !errors.Is(err, pulperr.Exists) {
			t.Errorf("NewGroup(two reports of one code) = %v, want Exists", err)
		}
	})
}

func TestGroupProgressIsExact(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		members, err := b.q.NewGroup(t.Context(), "g", group.Report{Code: "c"})
		if err != nil {
			t.Fatal(err)
		}
		const goroutines, each = 50, 20
		done := make(chan error, goroutines)
		for range goroutines {
			go func() {
				for range each {
					if err := members.Progress("c").Add(t.Context(), 2); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range goroutines {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		reports, err := members.Reports(t.Context())
		if err != nil || reports[0].Done != 2*goroutines*each {
			t.Errorf("done = %d, %v, want %d", reports[0].Done, err, 2*goroutines*each)
		}
	})
}

func TestCancelGroup(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		members, err := b.q.NewGroup(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		o := &tasking.DispatchOptions{Group: members}
		ids := []uuid.UUID{b.dispatch(blockArgs{Name: "0", Exclusive: []string{"r"}}, o)}
		b.begins("0")
		for i := range 5 {
			ids = append(ids, b.dispatch(blockArgs{Name: fmt.Sprint(i + 1), Exclusive: []string{"r"}}, o))
		}
		if err := members.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		late, err := b.block.Dispatch(t.Context(), b.q, blockArgs{Name: "late"}, o)
		if err != nil || late.State != models.Canceled {
			t.Errorf("Dispatch into a canceled group = %+v, %v", late, err)
		}
		for i, id := range ids {
			if task := b.wait(id, models.Canceled); i > 0 && task.StartedAt != nil {
				t.Errorf("member %d ran", i)
			}
		}
		b.noReservations()
		row, err := members.Row(t.Context())
		if err != nil || row.CanceledAt == nil || !row.AllTasksDispatched {
			t.Errorf("Row() = %+v, %v", row, err)
		}
	})
}

func TestImmediateTaskRunsInTheDispatch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		quick := tasking.Define[string]("test.quick")
		b.run(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true, Bindings: []tasking.Binding{quick.Bind(
			func(ctx context.Context, _ *tasking.Env, word string) error {
				if _, ok := ctx.Deadline(); !ok {
					t.Error("an immediate task has no deadline")
				}
				if word == "bad" {
					return pulperr.Public(pulperr.Invalid, "bad word")
				}
				return nil
			})}})
		eventually(t, "the worker's start", func() bool {
			workers, err := inspect.Workers(t.Context(), b.q.DB())
			return err == nil && len(workers) == 1
		})
		o := func() *tasking.DispatchOptions {
			return &tasking.DispatchOptions{Mode: tasking.ImmediateOnly, Exclusive: tasking.Named("r")}
		}
		var ticket *tasking.Ticket
		eventually(t, "an inline execution", func() bool {
			var err error
			ticket, err = quick.Dispatch(t.Context(), b.q, "good", o())
			if err != nil {
				t.Fatal(err)
			}
			if ticket.State == models.Waiting {
				_, _ = b.q.Cancel(t.Context(), ticket.TaskID)
			}
			return ticket.State == models.Completed
		})
		ticket, err := quick.Dispatch(t.Context(), b.q, "bad", o())
		if err != nil || ticket.State != models.Failed {
			t.Errorf("Dispatch(bad) = %+v, %v", ticket, err)
		}
		first := b.dispatch(blockArgs{Name: "blocker", Exclusive: []string{"r"}})
		ticket, err = quick.Dispatch(t.Context(), b.q, "good", o())
		if err != nil || ticket.State != models.Canceled {
			t.Fatalf("Dispatch behind a waiting task = %+v, %v", ticket, err)
		}
		if task := b.get(ticket.TaskID); task.Error == nil || task.Error.Reason != "Resources temporarily unavailable." {
			t.Errorf("error = %+v", task.Error)
		}
		deferred := o()
		deferred.Mode = tasking.PreferImmediate
		ticket, err = quick.Dispatch(t.Context(), b.q, "good", deferred)
		if err != nil || ticket.State != models.Waiting {
			t.Fatalf("deferred Dispatch = %+v, %v", ticket, err)
		}
		if _, err := b.q.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		b.run(worker.Options{Bindings: []tasking.Binding{quick.Bind(
			func(context.Context, *tasking.Env, string) error { return nil })}})
		b.wait(ticket.TaskID, models.Completed)
		b.noReservations()
	})
}

func TestImmediateTaskTimesOut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes five seconds")
	}
	b := setup(t, dbtest.SQLite(t), "")
	slow := tasking.Define[noArgs]("test.slow")
	b.run(worker.Options{Bindings: []tasking.Binding{slow.Bind(
		func(ctx context.Context, _ *tasking.Env, _ noArgs) error { <-ctx.Done(); return ctx.Err() })}})
	ticket, err := slow.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Mode: tasking.PreferImmediate})
	if err != nil {
		t.Fatal(err)
	}
	task := b.wait(ticket.TaskID, models.Failed)
	if task.Error.Code != "PLP0024" || task.FinishedAt.Sub(*task.StartedAt) < 4*time.Second {
		t.Errorf("error = %+v after %v", task.Error, task.FinishedAt.Sub(*task.StartedAt))
	}
}
