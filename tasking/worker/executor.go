package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// executor executes claimed tasks: it starts an attempt, calls the function, waits for it and stores the outcome.
type executor struct {
	q           *engine.Core
	session     *session
	attempts    *attempts
	environment *attempt.Environment
	completer   *completer
	bindings    *bindings
	opts        *Options
	log         *slog.Logger
}

// run executes a claimed task to its end. raw are its arguments in the clear, or nil if they have to be opened. It
// returns the final state, or "" if the claim was lost, the task runs again, or its function outlived the session. If
// chain allows it then, next is a task that was claimed in the same transaction, with which the slot goes on.
func (e *executor) run(
	t *taskdb.Claimed, raw []byte, chain func() bool,
) (state models.TaskState, next *taskdb.Claimed) {
	e.q.Emit(event.OfTask(&t.Task, models.Running))
	a, err := e.start(t)
	if err != nil {
		// The domain's handle could not be made, but the task is claimed: its end has to be stored.
		return e.end(a, outcome{state: models.Failed, err: e.taskError(err)}, chain)
	}
	// In a goroutine of its own: Goexit or a panic ends this task alone, and a function that never returns can be left
	// behind at the shutdown.
	go a.Call(func(a *attempt.Attempt) (json.RawMessage, error) { return e.call(a, raw) })
	if !e.await(a) {
		a.Log.ErrorContext(a.Ctx, "task does not end; its reservations stay until the process does")
		e.q.Telemetry.Ended(a.Ctx, a.Task, a.Began, engine.ResultAbandoned, a.Cause())
		return "", nil // its function goes on: the attempt stays, with its context and its directory
	}
	e.q.At("body.returned")
	return e.end(a, e.outcome(a), chain)
}

// start begins an attempt, in the trace of the task's dispatch.
func (e *executor) start(t *taskdb.Claimed) (*attempt.Attempt, error) {
	a, err := e.environment.New(e.q.Telemetry.Starting(attempt.Context(t), t), t, e.limit(t))
	e.attempts.add(a)
	return a, err
}

// limit is how long a task may take; 0 is without limit.
func (e *executor) limit(t *taskdb.Claimed) time.Duration {
	if t.Immediate {
		return engine.ImmediateTimeout
	}
	return e.bindings.of(t.Name).Timeout
}

// taskLabel is the pprof label of a task's goroutines. A profile can be narrowed to a task by it, too.
const taskLabel = "task_id"

// call runs the function of the task, in this process or in one of its own.
func (e *executor) call(a *attempt.Attempt, raw []byte) (result json.RawMessage, err error) {
	t := a.Task
	b := e.bindings.of(t.Name)
	if b.Run == nil {
		return nil, pulperr.Public(pulperr.Unsupported, "No plugin of this worker has a task %q.", t.Name)
	}
	// The process of an isolated task has the same bindings and executes the function itself.
	if e.bindings.isolates(t.Name) && !e.environment.Isolated {
		return e.isolate(a)
	}
	// Decrypted after the claim, and not with it, so that a lost key fails this task alone (F77).
	if raw == nil {
		if raw, err = engine.OpenArgs(e.q.DB, engine.TaskTable, t.ID, t.Args); err != nil {
			return nil, fmt.Errorf("tasking: arguments of %s: %w", t.Name, err)
		}
	}
	// Goroutines inherit the label, so the stacks of all that the function has started can be found if it is stuck.
	pprof.Do(a.Ctx, pprof.Labels(taskLabel, t.ID.String()), func(ctx context.Context) {
		result, err = b.Run(ctx, a, raw)
	})
	if err == nil {
		err = engine.CheckResult(t.Name, result)
	}
	return result, err
}

// await waits for the function, and reports a stuck one. It returns false if the session was abandoned first.
func (e *executor) await(a *attempt.Attempt) bool {
	grace := e.opts.CancelGrace
	if e.bindings.isolates(a.Task.Name) {
		// The process is killed after the same grace. The task is stuck only if it is still there after the kill.
		grace += killedSlack
	}
	returned := a.Await(grace, e.session.abandon, func() { e.reportStuck(a) })
	if returned {
		a.FlushReports()
	}
	return returned
}

// outcome derives the end of the task from the return of its function and the cause of its context.
func (e *executor) outcome(a *attempt.Attempt) outcome {
	t := a.Task
	// Also after a timeout or at a shutdown: the function has done its work, if late.
	if a.Err == nil {
		return outcome{state: models.Completed, result: a.Result}
	}
	o := outcome{state: models.Failed, retry: retryPause(t, a.Err)}
	// The cause comes before the error of the function, which usually only reports that its context has ended.
	// ErrImmediateTimeout is an ErrTimeout too, so its case comes first.
	switch cause := a.Cause(); {
	case errors.Is(cause, engine.ErrShutdown):
		o.err = &models.TaskError{Reason: "Aborted during worker shutdown."}
		// The attempt does not count, so the task also runs again after its last one.
		if o.retry != nil || t.MaxAttempts > 1 && !t.Immediate {
			o.retry, o.spared = new(time.Duration(0)), true
		}
	case errors.Is(cause, engine.ErrLost):
		o.err = &models.TaskError{Reason: "The worker lost its connection to the database."}
	case errors.Is(cause, engine.ErrImmediateTimeout):
		o.err = e.taskError(cause)
	case errors.Is(cause, engine.ErrTimeout):
		o.err = &models.TaskError{Description: fmt.Sprintf("The task timed out after %s.", e.limit(t))}
	default:
		o.err = e.taskError(a.Err)
	}
	return o
}

// taskError returns the part of err that clients may see.
func (e *executor) taskError(err error) *models.TaskError {
	if d, ok := errors.AsType[*subprocess.DeathError](err); ok {
		return &models.TaskError{Reason: d.Reason}
	}
	t := &models.TaskError{Description: pulperr.Message(err), Code: pulperr.Code(err)}
	if p, ok := errors.AsType[*attempt.PanicError](err); ok && e.opts.Tracebacks {
		stack := string(p.Stack)
		t.Traceback = &stack
	}
	return t
}

// end stores the outcome of an attempt and announces the tasks that became ready by it.
func (e *executor) end(a *attempt.Attempt, o outcome, chain func() bool) (models.TaskState, *taskdb.Claimed) {
	// The outcome has to be stored although the context of a canceled task has ended.
	ctx := context.WithoutCancel(a.Ctx)
	defer a.Cancel(nil)
	defer e.attempts.remove(a)
	defer a.Dir.Remove(a.Log)
	var done completionResult
	// After a lost claim the task's incomplete resources belong to its next attempt, so complete must not discard them.
	err := engine.ErrFenced
	if !a.Fenced() {
		done, err = e.completer.complete(ctx, a, o, chain, e.bindings.isolates(a.Task.Name))
	}
	switch {
	case errors.Is(err, engine.ErrFenced):
		e.q.Telemetry.Ended(ctx, a.Task, a.Began, engine.ResultFenced, engine.ErrFenced)
		a.Log.WarnContext(ctx, "task was taken from this worker", "err", a.Err)
		return "", nil
	case err != nil:
		e.q.Telemetry.Ended(ctx, a.Task, a.Began, engine.ResultUnstored, err)
		a.Log.ErrorContext(ctx, "the end of a task could not be stored", "err", err)
		return "", nil
	case done.state == models.Waiting:
		e.q.Telemetry.Ended(ctx, a.Task, a.Began, engine.ResultRetried, a.Err)
		a.Log.WarnContext(ctx, "task runs again", "pause", *o.retry, "err", a.Err)
		// The event only, and no delivery: the task may not begin before its pause is over. The relay announces it then.
		e.q.Emit(event.OfTask(&a.Task.Task, models.Waiting))
		return "", nil
	}
	e.q.Telemetry.Ended(ctx, a.Task, a.Began, engine.AttemptResult(done.state), a.Err)
	a.LogEnd(ctx, done.state)
	// CompleteTx has emitted the event of a task that completed itself. The event comes before the delivery, or the start
	// of a follower could be reported before this end.
	if !a.Completed() {
		e.q.Emit(event.OfTask(&a.Task.Task, done.state))
	}
	e.q.Deliver(ctx, done.ready...)
	return done.state, done.next
}
