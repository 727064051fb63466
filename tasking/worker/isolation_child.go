package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// RunIsolated executes the one task for which another worker started this process, see [Options].Command, and returns
// when its end has been reported; the process should then exit. The process must have no other work: its working
// directory becomes the task's, SIGTERM and the end of ctx cancel the task, and when the process that started it dies,
// this one kills itself. Of the worker only its bindings and its parts for [Env] are used.
//
// Errors: Invalid if this process was not started by a worker; Unsupported where there are no isolated tasks; Conflict
// if the worker runs already. How the task ended is no error.
func (w *Worker) RunIsolated(ctx context.Context) error {
	orders, report, err := subprocess.Inherited()
	if err != nil {
		return fmt.Errorf("tasking: isolated task: %w", err)
	}
	defer subprocess.CloseAll(orders, report)
	i := &isolated{w: w, orders: json.NewDecoder(orders), report: json.NewEncoder(report)}
	if err := i.orders.Decode(&i.req); err != nil {
		return fmt.Errorf("tasking: isolated task: request: %w: %w", pulperr.Invalid, err)
	}
	terminate := make(chan os.Signal, 1)
	// The worker sends SIGTERM with each cancellation: before this line it ends the process, from here on it cancels the
	// task.
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	var listeners sync.WaitGroup
	defer listeners.Wait()
	listening, done := context.WithCancel(ctx)
	defer done()
	listeners.Go(func() {
		select {
		case <-terminate:
		case <-listening.Done():
		}
		i.stop(engine.ErrCanceled) // does nothing once the task has ended
	})
	listeners.Go(i.obey)
	err = i.run(ctx)
	// Before the pipe is closed, or obey would take its end for the death of the worker and kill this process.
	i.ended.Store(true)
	_ = orders.Close()
	return err
}

// isolated is a task whose process this is.
type isolated struct {
	w      *Worker
	req    subprocess.Request
	orders *json.Decoder
	ended  atomic.Bool

	speak  sync.Mutex
	report *json.Encoder

	mu      sync.Mutex
	cancel  context.CancelCauseFunc // nil before the function is called
	stopped error                   // what cancel has to be called with
}

// obey stops the task by the orders of the worker, and kills this process when the worker's process has died.
func (i *isolated) obey() {
	for {
		var o subprocess.Order
		if err := i.orders.Decode(&o); err != nil {
			if !i.ended.Load() {
				// The pipe has ended, so the worker is dead. Another worker will end the task, and its function must not go on
				// beside the next attempt.
				subprocess.KillSelf()
			}
			return
		}
		i.stop(o.Cause())
	}
}

func (i *isolated) stop(cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped == nil {
		i.stopped = cause
	}
	if i.cancel != nil {
		i.cancel(i.stopped)
	}
}

// stoppable lets stop end the function's context.
func (i *isolated) stoppable(cancel context.CancelCauseFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cancel = cancel
	// The order may have come before the function was called.
	if i.stopped != nil {
		cancel(i.stopped)
	}
}

func (i *isolated) say(m subprocess.Message) error {
	i.speak.Lock()
	defer i.speak.Unlock()
	return i.report.Encode(m)
}

// run executes the task and reports its outcome.
func (i *isolated) run(ctx context.Context) error {
	p, end, err := i.begin()
	if err != nil {
		return err
	}
	defer end()
	// The end of ctx cancels the task by way of stop, with the cause that outcomes are derived from.
	result, err := i.execute(context.WithoutCancel(ctx), p)
	o := &subprocess.Outcome{Result: result}
	if err != nil {
		o = &subprocess.Outcome{Err: subprocess.NewRemoteError(err)}
	}
	if err := i.say(subprocess.Message{Outcome: o}); err != nil {
		return fmt.Errorf("tasking: isolated task: report: %w: %w", pulperr.Unavailable, err)
	}
	return nil
}

// begin makes the parts that an attempt needs, without a row of the worker's own.
func (i *isolated) begin() (p *parts, end func(), err error) {
	w := i.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return nil, nil, fmt.Errorf("tasking: worker %q runs already: %w", w.opts.Name, pulperr.Conflict)
	}
	w.running = true
	p = w.parts()
	p.environment.Isolated = true
	return p, func() {
		w.mu.Lock()
		w.running = false
		w.mu.Unlock()
		if w.opts.Downloads == nil {
			_ = p.downloads.Close() // returns nil
		}
	}, nil
}

func (i *isolated) execute(ctx context.Context, p *parts) (json.RawMessage, error) {
	t, err := taskdb.ReadClaim(ctx, taskdb.On(i.w.q.DB), i.req.Task, i.req.Claim)
	if err != nil {
		return nil, taskdb.Wrap(err, "read task %s", i.req.Task)
	}
	if t == nil {
		return nil, engine.ErrFenced
	}
	// After the host has opened the App, so that relative paths in its settings mean the same as in the worker.
	// chdir: this process executes one task only
	if err := os.Chdir(i.req.WorkDir); err != nil {
		return nil, fmt.Errorf("tasking: work directory: %w: %w", pulperr.Unavailable, err)
	}
	// The worker counts the attempt, has its span and observes its time limit.
	a, err := p.environment.New(engine.WithTrace(attempt.Context(t), i.req.Trace), t, 0)
	if err != nil {
		return nil, err
	}
	a.Dir.Use(i.req.WorkDir)
	defer a.Dir.Remove(a.Log)
	i.stoppable(a.Cancel)
	go a.Call(func(a *attempt.Attempt) (json.RawMessage, error) { return p.executor.call(a, nil) })
	a.Await(i.req.CancelGrace, nil, func() {
		if err := i.say(subprocess.Message{Stuck: goroutinesOf(t.ID)}); err != nil {
			a.Log.ErrorContext(ctx, "the stacks of a task that does not stop could not be reported", "err", err)
		}
	})
	a.FlushReports()
	a.Cancel(nil)
	if errors.Is(a.Cause(), engine.ErrFenced) {
		a.Log.WarnContext(ctx, "task was taken from its worker")
	}
	return a.Result, a.Err
}
