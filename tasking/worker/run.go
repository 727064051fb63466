package worker

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Run registers the worker, executes tasks until ctx is done and returns nil when the running ones have ended. Every
// worker also observes the others and ends the tasks of dead ones, and one of them maintains the installation.
//
// When ctx is done no task begins any more. After [Options].Grace, if it is set, the contexts of running tasks end with
// [engine.ErrShutdown]. Tasks that have not ended 10 s later are left to the other workers, and Run returns an error.
//
// With [Options].Burst it also ends when no task is left that it could execute.
//
// Errors: Unavailable if the database does not answer at the start; Conflict if the worker runs already.
func (w *Worker) Run(ctx context.Context) error {
	p, end, err := w.begin(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // it was over before it began
	}
	if err != nil {
		return err
	}
	defer end()
	if err := p.environment.Dirs.Sweep(ctx); err != nil {
		w.opts.Log.WarnContext(ctx, "work directories of dead workers could not be removed", "err", err)
	}
	w.opts.Log.InfoContext(ctx, "worker has started",
		"worker_id", p.session.workerID(), "name", w.opts.Name, "slots", cap(w.slots[engine.DefaultQueue]))
	defer func() { w.opts.Log.InfoContext(ctx, "worker has ended", "worker_id", p.session.workerID()) }()

	// The heartbeat and the receipt of cancellations go on until the last task has ended. With ctx they would end at the
	// shutdown, and other workers would declare this one dead while its tasks still have their grace.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	living := []interface{ run(context.Context) }{p.heartbeater, p.reaper, p.maintainer}
	if !w.opts.NoTasks {
		p.receiver.start(w.q.Transport)
		// A transport within one process reads ready tasks from the database itself.
		if w.q.Retainer != nil {
			living = append(living, p.poller)
		}
	}
	all.Go(func() { w.q.Listen(background) })
	for _, part := range living {
		all.Go(func() { part.run(background) })
	}
	w.awaitEnd(ctx)
	w.q.Immediates.Remove(p.immediate)
	p.session.startDrain()
	p.receiver.stop()
	err = w.awaitTasks(p.session)
	// Only now: close waits for the handlers, which execute tasks, and the grace of the tasks would not begin.
	p.receiver.close()
	return err
}

// burstInterval is how often a worker with [Options].Burst checks whether all tasks have ended.
const burstInterval = 250 * time.Millisecond

// awaitEnd waits until no new work shall begin.
func (w *Worker) awaitEnd(ctx context.Context) {
	if !w.opts.Burst {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(burstInterval)
	defer ticker.Stop()
	// Two idle checks in a row: a check makes two queries, and a task may become ready between them.
	for quiet := 0; quiet < 2; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		idle, err := w.idle(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			w.opts.Log.WarnContext(ctx, "ready tasks could not be read; it is tried again", "err", err)
		case idle:
			quiet++
		default:
			quiet = 0
		}
	}
}

// idle reports whether the worker executes no task and there is none that it could execute.
func (w *Worker) idle(ctx context.Context) (bool, error) {
	if w.attempts.count() > 0 {
		return false, nil
	}
	for _, err := range w.claimable(ctx) {
		return false, err
	}
	return true, nil
}

// awaitTasks waits for the running tasks, as long as the worker's options allow.
func (w *Worker) awaitTasks(s *session) error {
	idle := make(chan struct{})
	go func() { // ends with the last task, or with the process
		s.busy.Wait()
		close(idle)
	}()
	if w.opts.Grace <= 0 {
		<-idle
		return nil
	}
	timer := time.NewTimer(w.opts.Grace)
	defer timer.Stop()
	select {
	case <-idle:
		return nil
	case <-timer.C:
	}
	w.attempts.cancelAll(engine.ErrShutdown)
	timer.Reset(engine.ShutdownGrace)
	select {
	case <-idle:
		return nil
	case <-timer.C:
	}
	// From here on, goroutines that repeat a statement or wait for a function give up. The process is about to end, and
	// other workers end the tasks that are left.
	close(s.abandon)
	<-idle
	return fmt.Errorf("tasking: tasks do not end: %w", pulperr.Unavailable)
}

// RunPending executes every task that is ready, and every task that becomes ready by it, one after the other, and
// returns when none is left. It needs no Redis and leaves no goroutine behind. Other workers see that it is alive,
// however long a task takes. It is meant for tests and for programs that have no use for a worker of their own.
//
// Errors: those of [Worker.Run], or the cause of ctx, whose end also ends the running task with [engine.ErrShutdown].
func (w *Worker) RunPending(ctx context.Context) error {
	p, end, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	// Without heartbeats, other workers on the database would declare this one dead during a task that takes longer than
	// the TTL.
	all.Go(func() { p.heartbeater.run(background) })
	defer func() {
		w.q.Immediates.Remove(p.immediate)
		p.session.startDrain()
	}()
	// The context of a task does not descend from ctx, so the end of ctx has to be passed on.
	defer context.AfterFunc(ctx, func() { w.attempts.cancelAll(engine.ErrShutdown) })()
	for {
		// Each pass may make other tasks ready: those that it unblocked, and those that its tasks dispatched.
		claimed, err := w.runReady(ctx, p)
		if err != nil || !claimed {
			return err
		}
	}
}

// runReady executes the tasks that are ready now, and reports whether there were any.
func (w *Worker) runReady(ctx context.Context, p *parts) (claimed bool, err error) {
	for r, err := range w.claimable(ctx) {
		if err != nil {
			return claimed, taskdb.Wrap(err, "read ready tasks")
		}
		if ctx.Err() != nil {
			return claimed, context.Cause(ctx)
		}
		t, err := p.claims.claim(r.ID)
		if err != nil {
			return claimed, taskdb.Wrap(err, "claim task %s", r.ID)
		}
		// No task is returned if another worker has claimed it, or if it was canceled, since it was read.
		if t != nil {
			claimed = true
			p.executor.run(t, nil, nil)
		}
	}
	return claimed, nil
}

// claimable yields the ready tasks of all queues that this worker can execute, the oldest of each queue first.
func (w *Worker) claimable(ctx context.Context) iter.Seq2[taskdb.ReadyTask, error] {
	return func(yield func(taskdb.ReadyTask, error) bool) {
		for _, queue := range engine.Queues() {
			for t, err := range engine.ReadyTasks(ctx, w.q.DB, queue) {
				if (err != nil || engine.PluginVersions(w.opts.Versions).Fulfil(t.Versions)) && !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}
