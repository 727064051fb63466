package pulpcore

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

// RunAll runs functions side by side that live until ctx is done. When one of them returns early, with an error or
// without, the context of the others is canceled; the first error is returned. The functions return nil once ctx is
// done and their work is drained.
func RunAll(ctx context.Context, fns ...func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	for _, fn := range fns {
		group.Go(func() error {
			defer cancel()
			return fn(ctx)
		})
	}
	return group.Wait()
}

// Run serves API and content app on LISTEN and executes tasks, until ctx is done.
func (a *App) Run(ctx context.Context) error {
	a.log.InfoContext(ctx, "serving", "addr", a.set.Core().Listen)
	return RunAll(ctx,
		func(ctx context.Context) error { return a.Heartbeat(ctx, "api") },
		func(ctx context.Context) error { return a.Heartbeat(ctx, "content") },
		func(ctx context.Context) error { return a.Serve(ctx, a.set.Core().Listen, a.Handler()) },
		func(ctx context.Context) error { return a.Work(ctx, 0) },
	)
}

// Work executes tasks, slots at a time, until ctx is done; then it lets running ones finish for TASK_GRACE_INTERVAL.
// With slots 0 the setting WORKERS decides. Once an hour it also removes leftovers of the store and, if the settings
// say so, old tasks and old temporary files.
func (a *App) Work(ctx context.Context, slots int) error {
	w, err := a.Worker(slots)
	if err != nil {
		return err
	}
	keeper := &maintenance{core: a.set.Core(), db: a.db, store: a.store, queue: a.queue, log: a.log}
	return RunAll(ctx, w.Run, keeper.run)
}

// Heartbeat tells the other processes that this one is alive, until ctx is done. Servers that use the App's handlers
// without [App.Run] call it with the kind of what they serve, [tasking.KindAPI] or [tasking.KindContent], once for each
// if they serve both; the status lists them.
//
// It takes no tasks from the queue and does everything else that workers do. With KindAPI it executes the immediate
// tasks that this process dispatches; without it, and without a worker in the process, they wait for one. With either
// kind it receives the events and cancellations of other processes, announces tasks that Redis has lost, ends the tasks
// of dead processes, and dispatches what schedules say.
//
// When ctx is done it waits for the immediate tasks that it executes.
//
// Errors: Invalid for another kind; those of [tasking.Worker.Run].
func (a *App) Heartbeat(ctx context.Context, kind string) error {
	o := a.workerOptions(-1)
	core := a.set.Core()
	switch o.Kind = kind; kind {
	case tasking.KindAPI:
		o.TTL = core.APIAppTTL
	case tasking.KindContent:
		o.TTL = core.ContentAppTTL
	default:
		return pulperr.Public(pulperr.Invalid, "there are no servers of the kind %q", kind)
	}
	w, err := tasking.NewWorker(a.queue, o)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Worker returns a worker for the App's tasks that is not running yet, for hosts and tests that drive it themselves.
// With slots 0 the setting WORKERS decides, as in [App.Work]. It does only what a [tasking.Worker] does: it removes no
// leftovers, and does not schedule the purge that TASK_PROTECTION_TIME asks for.
func (a *App) Worker(slots int) (*tasking.Worker, error) {
	if slots == 0 {
		slots = a.set.Core().Workers
	}
	if slots == 0 {
		slots = max(2, runtime.GOMAXPROCS(0))
	}
	return tasking.NewWorker(a.queue, a.workerOptions(slots))
}

// RunIsolated executes one task, for which a worker started this process by [Options].TaskCommand, and returns when its
// end has been reported. Close the App and exit then.
//
// Errors: those of [tasking.Worker.RunIsolated]. How the task ended is no error.
func (a *App) RunIsolated(ctx context.Context) error {
	w, err := a.Worker(-1)
	if err != nil {
		return err
	}
	return w.RunIsolated(ctx)
}

// workerOptions returns the options of a worker of the App.
func (a *App) workerOptions(slots int) *tasking.WorkerOptions {
	o := a.worker
	o.Slots = slots
	return &o
}
