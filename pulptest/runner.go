package pulptest

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// runner executes the tasks of an App at the test's call, or waits for the workers that do.
type runner struct {
	app     *pulpcore.App
	started atomic.Int32 // workers of Start that run

	pending sync.Mutex // a worker cannot run twice at a time
	worker  *worker.Worker
}

func newRunner(app *pulpcore.App) (*runner, error) {
	w, err := app.Worker(1)
	return &runner{app: app, worker: w}, err
}

// start starts a worker that ends with the test.
func (r *runner) start(t testing.TB) {
	t.Helper()
	w, err := r.app.Worker(0)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r.started.Add(1)
	go func() { ended <- w.Run(ctx) }()
	// Cleanups run in reverse order, so the worker ends before New's cleanup closes the App.
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("pulptest: the worker: %v", err)
		}
		r.started.Add(-1)
	})
}

func (r *runner) hasWorker() bool { return r.started.Load() > 0 }

// runPending executes the tasks that can run, one after the other. Parallel subtests that share an App take turns.
func (r *runner) runPending(ctx context.Context) error {
	r.pending.Lock()
	defer r.pending.Unlock()
	return r.worker.RunPending(ctx)
}

// settle returns when all tasks have ended and all fetched files are stored.
func (r *runner) settle(ctx context.Context) error {
	for {
		// First, because the end of a fetch may dispatch a task.
		if err := r.app.WaitForFetches(ctx); err != nil {
			return err
		}
		if err := r.work(ctx); err != nil {
			return err
		}
		left, err := r.unfinished(ctx)
		if err != nil || len(left) == 0 {
			return err
		}
		if !r.hasWorker() {
			return fmt.Errorf("the task %s is %s, and no worker is started that could end it", left[0].Name, left[0].State)
		}
		if _, err := r.app.Queue().Wait(ctx, left[0].ID); err != nil {
			return err
		}
	}
}

// work executes the tasks that can run, unless a worker does.
func (r *runner) work(ctx context.Context) error {
	if r.hasWorker() {
		return nil
	}
	return r.runPending(ctx)
}

// finish returns a task as it is when all has been done for it that can be.
func (r *runner) finish(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	if r.hasWorker() {
		return r.app.Queue().Wait(ctx, id)
	}
	if err := r.runPending(ctx); err != nil {
		return nil, err
	}
	return r.app.Queue().Get(ctx, id)
}

// finishHref is finish for the task with an href.
func (r *runner) finishHref(ctx context.Context, href string) ([]*models.Task, error) {
	id, err := uuid.Parse(path.Base(href))
	if err != nil {
		return nil, fmt.Errorf("the answer has %q as its task: %w", href, err)
	}
	task, err := r.finish(ctx, id)
	return []*models.Task{task}, err
}

// finishGroup returns the tasks of a group when all of them have ended and it gets no more.
func (r *runner) finishGroup(ctx context.Context, href string) ([]*models.Task, error) {
	id, err := uuid.Parse(path.Base(href))
	if err != nil {
		return nil, fmt.Errorf("the answer has %q as its task group: %w", href, err)
	}
	g, err := r.app.Queue().Group(ctx, id)
	if err != nil {
		return nil, err
	}
	for {
		if err := r.work(ctx); err != nil {
			return nil, err
		}
		// Read before the tasks: one that was dispatched before the group was complete must be among them.
		row, err := g.Row(ctx)
		if err != nil {
			return nil, err
		}
		tasks, err := r.tasks(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("t.task_group_id = ?", id) })
		if err != nil {
			return nil, err
		}
		next := firstUnfinished(tasks)
		if next == nil && !row.AllTasksDispatched {
			// A task outside of the group may dispatch more into it.
			others, err := r.unfinished(ctx)
			if err != nil {
				return nil, err
			}
			next = firstUnfinished(others)
		}
		if next == nil || !r.hasWorker() {
			return tasks, nil
		}
		if _, err := r.app.Queue().Wait(ctx, next.ID); err != nil {
			return nil, err
		}
	}
}

// tasks returns tasks, the oldest first.
func (r *runner) tasks(ctx context.Context, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]*models.Task, error) {
	return inspect.List(ctx, r.app.Queue().DB(), func(q *bun.SelectQuery) *bun.SelectQuery {
		return narrow(q).Order("t.pulp_created", "t.pulp_id")
	})
}

func (r *runner) unfinished(ctx context.Context) ([]*models.Task, error) {
	return r.tasks(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("t.state IN (?)", bun.List([]models.TaskState{models.Waiting, models.Running, models.Canceling}))
	})
}

func firstUnfinished(tasks []*models.Task) *models.Task {
	for _, task := range tasks {
		if !task.State.Final() {
			return task
		}
	}
	return nil
}
