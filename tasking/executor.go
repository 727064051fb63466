package tasking

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
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// executor executes claimed tasks: it starts an attempt, calls the function, waits for it and stores the outcome.
type executor struct {
	q           *Queue
	session     *session
	attempts    *attempts
	environment *environment
	completer   *completer
	bindings    *bindings
	opts        *WorkerOptions
	log         *slog.Logger
}

// run executes a claimed task to its end. raw are its arguments in the clear, or nil if they have to be opened. It
// returns the final state, or "" if the claim was lost, the task runs again, or its function outlived the session. If
// chain allows it then, next is a task that was claimed in the same transaction, with which the slot goes on.
func (e *executor) run(
	t *taskdb.Claimed, raw []byte, chain func() bool,
) (state models.TaskState, next *taskdb.Claimed) {
	e.q.emit(taskEvent(&t.Task, models.Running))
	a, err := e.start(t)
	if err != nil {
		return e.end(a, outcome{state: models.Failed, err: e.taskError(err)}, chain)
	}
	go a.call(func(a *attempt) (json.RawMessage, error) { return e.call(a, raw) })
	if !e.await(a) {
		a.log.ErrorContext(a.ctx, "task does not end; its reservations stay until the process does")
		e.q.tel.ended(a.ctx, a, resultAbandoned, a.cause())
		return "", nil // its function goes on: the attempt stays, with its context and its directory
	}
	e.q.at("body.returned")
	return e.end(a, e.outcome(a), chain)
}

// start begins an attempt, in the trace of the task's dispatch.
func (e *executor) start(t *taskdb.Claimed) (*attempt, error) {
	a, err := e.environment.attempt(e.q.tel.starting(attemptContext(t), t), t, e.limit(t))
	e.attempts.add(a)
	return a, err
}

// limit is how long a task may take; 0 is without limit.
func (e *executor) limit(t *taskdb.Claimed) time.Duration {
	if t.Immediate {
		return immediateTimeout
	}
	return e.bindings.of(t.Name).opts.Timeout
}

// taskLabel is the pprof label of a task's goroutines. A profile can be narrowed to a task by it, too.
const taskLabel = "task_id"

// call runs the function of the task, in this process or in one of its own.
func (e *executor) call(a *attempt, raw []byte) (result json.RawMessage, err error) {
	t := a.task
	b := e.bindings.of(t.Name)
	if b.run == nil {
		return nil, pulperr.Public(pulperr.Unsupported, "No plugin of this worker has a task %q.", t.Name)
	}
	if e.bindings.isolates(t.Name) && !e.environment.isolated {
		return e.isolate(a)
	}
	if raw == nil {
		if raw, err = openArgs(e.q.db, taskTable, t.ID, t.Args); err != nil {
			return nil, fmt.Errorf("tasking: arguments of %s: %w", t.Name, err)
		}
	}
	pprof.Do(a.ctx, pprof.Labels(taskLabel, t.ID.String()), func(ctx context.Context) {
		result, err = b.run(ctx, a.env, raw)
	})
	if err == nil {
		err = checkResult(t.Name, result)
	}
	return result, err
}

// await waits for the function, and reports on one that does not return although it was told to stop. It returns false
// if the session was abandoned first.
func (e *executor) await(a *attempt) bool {
	grace := e.opts.CancelGrace
	if e.bindings.isolates(a.task.Name) {
		grace += killedSlack
	}
	returned := a.await(grace, e.session.abandon, func() { e.reportStuck(a) })
	if returned {
		a.flushReports()
	}
	return returned
}

// outcome says what the return of the function means for the task.
func (e *executor) outcome(a *attempt) outcome {
	t := a.task
	if a.err == nil {
		return outcome{state: models.Completed, result: a.result}
	}
	o := outcome{state: models.Failed, retry: retryPause(t, a.err)}
	switch cause := a.cause(); {
	case errors.Is(cause, ErrShutdown):
		o.err = &models.TaskError{Reason: "Aborted during worker shutdown."}
		// The attempt does not count, so the task also runs again after its last one.
		if o.retry != nil || t.MaxAttempts > 1 && !t.Immediate {
			o.retry, o.spared = new(time.Duration(0)), true
		}
	case errors.Is(cause, ErrLost):
		o.err = &models.TaskError{Reason: "The worker lost its connection to the database."}
	case errors.Is(cause, errTimeout):
		o.err = e.taskError(cause)
	case errors.Is(cause, ErrTimeout):
		o.err = &models.TaskError{Description: fmt.Sprintf("The task timed out after %s.", e.limit(t))}
	default:
		o.err = e.taskError(a.err)
	}
	return o
}

// taskError returns what clients may know about err.
func (e *executor) taskError(err error) *models.TaskError {
	if d, ok := errors.AsType[*deathError](err); ok {
		return &models.TaskError{Reason: d.reason}
	}
	t := &models.TaskError{Description: pulperr.Message(err), Code: pulperr.Code(err)}
	if p, ok := errors.AsType[*panicError](err); ok && e.opts.Tracebacks {
		stack := string(p.stack)
		t.Traceback = &stack
	}
	return t
}

// end stores the outcome of an attempt and announces the tasks that became ready by it.
func (e *executor) end(a *attempt, o outcome, chain func() bool) (models.TaskState, *taskdb.Claimed) {
	ctx := context.WithoutCancel(a.ctx)
	defer a.cancel(nil)
	defer e.attempts.remove(a)
	defer a.removeDir()
	var done completionResult
	err := errFenced
	if !a.fenced() {
		done, err = e.completer.complete(ctx, a, o, chain, e.bindings.isolates(a.task.Name))
	}
	switch {
	case errors.Is(err, errFenced):
		e.q.tel.ended(ctx, a, resultFenced, errFenced)
		a.log.WarnContext(ctx, "task was taken from this worker", "err", a.err)
		return "", nil
	case err != nil:
		e.q.tel.ended(ctx, a, resultUnstored, err)
		a.log.ErrorContext(ctx, "the end of a task could not be stored", "err", err)
		return "", nil
	case done.state == models.Waiting:
		e.q.tel.ended(ctx, a, resultRetried, a.err)
		a.log.WarnContext(ctx, "task runs again", "pause", *o.retry, "err", a.err)
		e.q.emit(taskEvent(&a.task.Task, models.Waiting))
		return "", nil
	}
	e.q.tel.ended(ctx, a, attemptResult(done.state), a.err)
	a.logEnd(ctx, done.state)
	if !a.self.is(completed) { // CompleteTx has emitted the event of a task that completed itself
		e.q.emit(taskEvent(&a.task.Task, done.state))
	}
	e.q.deliver(ctx, done.ready...)
	return done.state, done.next
}
