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
// worker also watches over the others: it ends the tasks of those that die, and one of them maintains the installation.
//
// When ctx is done nothing new begins. After [Options].Grace, if there is one, running tasks are told to stop
// with [engine.ErrShutdown]; those that do not within 10 s are left to the other workers, and Run returns an error.
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
		w.opts.Log.WarnContext(ctx, "work directories of dead workers stay", "err", err)
	}
	w.opts.Log.InfoContext(ctx, "worker has started",
		"worker_id", p.session.workerID(), "name", w.opts.Name, "slots", cap(w.slots[engine.DefaultQueue]))
	defer func() { w.opts.Log.InfoContext(ctx, "worker has ended", "worker_id", p.session.workerID()) }()

	background, stop := context.WithCancel(context.WithoutCancel(ctx)) // it goes on while tasks are waited for
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	living := []interface{ run(context.Context) }{p.heartbeater, p.reaper, p.maintainer}
	if !w.opts.NoTasks {
		p.receiver.start(w.q.Transport)
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
	for quiet := 0; quiet < 2; { // twice, because a task may have become ready between the two questions of one look
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		idle, err := w.idle(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			w.opts.Log.WarnContext(ctx, "ready tasks cannot be read", "err", err)
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
	close(s.abandon)
	<-idle
	return fmt.Errorf("tasking: tasks do not end: %w", pulperr.Unavailable)
}

// RunPending executes every task that is ready, and those that become ready by it, one after the other, and returns
// when none is left. It needs no Redis and leaves no goroutine behind. Other workers see that it is alive, however long
// a task takes. It is meant for tests and for programs that have no use for a worker of their own.
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
	all.Go(func() { p.heartbeater.run(background) })
	defer func() {
		w.q.Immediates.Remove(p.immediate)
		p.session.startDrain()
	}()
	defer context.AfterFunc(ctx, func() { w.attempts.cancelAll(engine.ErrShutdown) })()
	for {
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
