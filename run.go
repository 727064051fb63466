package pulpcore

import (
	"cmp"
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking/worker"
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
			// errgroup cancels the others only after an error; a server that has ended without one must end them, too.
			defer cancel()
			return fn(ctx)
		})
	}
	return group.Wait()
}

// Run serves API and content app on LISTEN and executes tasks, until ctx is done.
func (a *App) Run(ctx context.Context) error {
	a.log.InfoContext(ctx, "serving", settings.LoggerKey, "pulpcore", "addr", a.set.Core().Listen)
	return RunAll(ctx,
		func(ctx context.Context) error { return a.Serve(ctx, a.set.Core().Listen, a.Handler()) },
		func(ctx context.Context) error { return a.Work(ctx, 0, worker.KindAPI, worker.KindContent) },
	)
}

// Work executes tasks, slots at a time, until ctx is done; then it lets running ones finish for TASK_GRACE_INTERVAL.
// With slots 0 the setting WORKERS decides. Once an hour it also removes leftovers of the store and, if the settings
// ask for it, old tasks and old temporary files.
//
// A process that serves the App's handlers too names the kinds of its servers, which then need no [App.Heartbeat]:
// [worker.KindAPI], [worker.KindContent].
func (a *App) Work(ctx context.Context, slots int, serves ...string) error {
	w, err := newWorker(a, slots, append([]string{worker.KindWorker}, serves...)...)
	if err != nil {
		return err
	}
	keeper := &maintenance{core: a.set.Core(), db: a.db, store: a.store, queue: a.queue, log: named(a.log, "maintenance")}
	return RunAll(ctx, w.Run, keeper.run)
}

// Heartbeat shows the other processes that this one is alive, until ctx is done. Servers that use the App's handlers
// without [App.Run] call it with the kinds of their servers: [worker.KindAPI], [worker.KindContent] or both. The
// status lists each.
//
// It takes no tasks from the queue and does everything else that workers do. With KindAPI it executes the immediate
// tasks that this process dispatches; without it, and without a worker in the process, they wait for one. With either
// kind it receives the events and cancellations of other processes, ends the tasks of dead processes, and may get the
// lease to announce tasks that Redis has lost and to dispatch the tasks of schedules.
//
// When ctx is done it waits for the immediate tasks that it executes.
//
// Errors: Invalid for no kind or another one; those of [worker.Worker.Run].
func (a *App) Heartbeat(ctx context.Context, kinds ...string) error {
	if len(kinds) == 0 {
		return pulperr.Public(pulperr.Invalid, "name the kinds of servers that the heartbeat is for")
	}
	for _, kind := range kinds {
		if kind != worker.KindAPI && kind != worker.KindContent {
			return pulperr.Public(pulperr.Invalid, "a heartbeat of the kind %q is not possible; name %q or %q",
				kind, worker.KindAPI, worker.KindContent)
		}
	}
	o := a.workerOptions(kinds...)
	o.NoTasks = true
	w, err := worker.New(a.queue, o)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Worker returns a worker for the App's tasks that is not running yet, for hosts and tests that drive it themselves.
// With slots 0 the setting WORKERS decides, as in [App.Work]. It does only what a [worker.Worker] does: it removes no
// leftovers, and does not schedule the purge that TASK_PROTECTION_TIME asks for.
func (a *App) Worker(slots int) (*worker.Worker, error) {
	return newWorker(a, slots, worker.KindWorker)
}

// newWorker returns a worker of several kinds, the first of which owns the tasks.
func newWorker(a *App, slots int, kinds ...string) (*worker.Worker, error) {
	o := a.workerOptions(kinds...)
	o.Slots = cmp.Or(slots, a.set.Core().Workers, max(2, runtime.GOMAXPROCS(0)))
	return worker.New(a.queue, o)
}

// workerOptions returns the options of a worker of some kinds. Its TTL is the shortest of the kinds' TTLs.
func (a *App) workerOptions(kinds ...string) *worker.Options {
	core := a.set.Core()
	o := a.workers
	o.Kinds = kinds
	ttls := map[string]time.Duration{
		worker.KindWorker: core.WorkerTTL, worker.KindAPI: core.APIAppTTL, worker.KindContent: core.ContentAppTTL,
	}
	for i, kind := range kinds {
		if i == 0 || ttls[kind] < o.TTL {
			o.TTL = ttls[kind]
		}
	}
	return &o
}

// RunIsolated executes one task, for which a worker started this process by [Options].TaskCommand, and returns when its
// end has been reported. Close the App and exit then.
//
// Errors: those of [worker.Worker.RunIsolated]. How the task ended is no error.
func (a *App) RunIsolated(ctx context.Context) error {
	w, err := a.Worker(0)
	if err != nil {
		return err
	}
	return w.RunIsolated(ctx)
}
