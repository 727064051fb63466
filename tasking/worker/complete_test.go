package worker_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestCompletionIsToldOnce ends a task within its last transaction while a progress report runs.
func TestCompletionIsToldOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		complete := tasking.Define[string]("test.complete")
		var inside, late error
		returned := make(chan struct{})
		b.run(worker.Options{Slots: 1, Bindings: []tasking.Binding{complete.Bind(
			func(ctx context.Context, env *tasking.Env, _ string) error {
				defer close(returned)
				inside = env.Progress(ctx, "Counting", "test.counting", func(p *tasking.Progress) error {
					p.Add(7)
					return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.CompleteTx(ctx, tx, nil) })
				})
				late = env.DB.Tx(ctx, func(context.Context, *models.Tx) error { return nil })
				return nil
			})}})
		s := b.q.Subscribe()
		defer s.Close()
		ticket, err := complete.Dispatch(t.Context(), b.q, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Completed)
		<-returned
		after := b.dispatch(blockArgs{Name: "after"})
		b.begins("after")
		b.end("after", nil)
		b.wait(after, models.Completed)
		var states []models.TaskState
		var counted []int64
		for {
			e := next(t, s, func(e event.Event) bool { return e.Kind != event.Lost })
			switch {
			case e.Kind == event.ProgressChanged && e.Progress.State == models.Completed:
				counted = append(counted, e.Progress.Done)
			case e.Kind == event.TaskChanged && e.TaskID == ticket.TaskID:
				states = append(states, e.State)
			}
			if e.TaskID == after && e.State == models.Completed {
				break
			}
		}
		if want := []models.TaskState{models.Waiting, models.Running, models.Completed}; !slices.Equal(states, want) {
			t.Errorf("events of the task = %v, want %v", states, want)
		}
		if !slices.Equal(counted, []int64{7}) {
			t.Errorf("events of the completed report = %v, want 7 once", counted)
		}
		if inside != nil {
			t.Errorf("Progress() around the completion = %v", inside)
		}
		if !errors.Is(late, tasking.ErrLost) {
			t.Errorf("a transaction after the completion = %v, want ErrLost", late)
		}
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), ticket.TaskID)
		if err != nil || len(reports) != 1 || reports[0].Done != 7 || reports[0].State != models.Completed {
			t.Errorf("reports = %+v, %v; want one, completed with 7", reports, err)
		}
	})
}

// TestProgressOfNoGroup counts for a task that belongs to no group.
func TestProgressOfNoGroup(t *testing.T) {
	t.Parallel()
	var group *group.Group
	p := group.Progress("any")
	if err := errors.Join(p.Add(t.Context(), 1), p.AddTotal(t.Context(), 1)); err != nil {
		t.Errorf("progress of no group = %v", err)
	}
}

func TestCausesAreComparable(t *testing.T) {
	t.Parallel()
	if !errors.Is(worker.ErrFenced, tasking.ErrLost) || errors.Is(tasking.ErrLost, worker.ErrFenced) {
		t.Error("a task that was taken away is not a lost one, or all lost ones were taken away")
	}
	if !errors.Is(worker.ErrImmediateTimeout, tasking.ErrTimeout) || errors.Is(tasking.ErrTimeout, worker.ErrImmediateTimeout) {
		t.Error("the timeout of an immediate task is none, or all are those of immediate ones")
	}
	for _, cause := range []error{
		tasking.ErrCanceled, tasking.ErrShutdown, tasking.ErrLost, worker.ErrFenced, tasking.ErrTimeout,
	} {
		if got := worker.CauseInProcess(cause); got != cause { //nolint:errorlint // the very one
			t.Errorf("the process of a task is told %v for %v", got, cause)
		}
	}
}
