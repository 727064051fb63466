package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// execution is one task while a worker has it.
type execution struct {
	task   *claimed
	cancel context.CancelCauseFunc
	cause  func() error  // of the end of its context; nil while it runs
	done   chan struct{} // closed when the function has returned
	result json.RawMessage
	err    error
}

// panicError is what became of a task that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

var errGoexit = errors.New("tasking: the task ended its goroutine (runtime.Goexit)")

// run executes a claimed task to its end. raw are its arguments, if they are known in the clear. It returns the final
// state, or "" if the task is not this worker's any more, waits again, or could not be waited for; and, if continues
// allows it then, the task with which the slot goes on.
func (w *Worker) run(l *life, c *claimed, raw []byte, continues func() bool) (models.TaskState, *claimed) {
	w.q.emit(taskEvent(&c.Task, models.Running))
	x, env, err := w.begin(w.q.tel.starting(attemptContext(c), c), c, w.limit(c))
	if err != nil {
		return w.conclude(l, x, env, ending{state: models.Failed, err: w.taskError(err)}, continues)
	}
	go w.call(x, env, raw)
	if !w.await(l, x, env) {
		env.Log.ErrorContext(env.ctx, "task does not end; its reservations stay until the process does")
		w.q.tel.ended(env.ctx, env, outcomeAbandoned, x.cause())
		return "", nil
	}
	w.q.at("body.returned")
	return w.conclude(l, x, env, w.ending(x), continues)
}

// limit is how long a task may take; 0 is as long as it likes.
func (w *Worker) limit(c *claimed) time.Duration {
	if c.Immediate {
		return immediateTimeout
	}
	return w.bindings[c.Name].opts.Timeout
}

// attemptContext is what the context of an attempt begins with.
func attemptContext(c *claimed) context.Context {
	return WithCorrelationID(context.WithValue(context.Background(), taskKey, c.ID), c.LoggingCID)
}

// begin makes the surroundings of a task.
func (w *Worker) begin(ctx context.Context, c *claimed, limit time.Duration) (*execution, *Env, error) {
	if c.UserID != nil {
		ctx = WithUser(ctx, *c.UserID)
	}
	stop := func() {}
	if limit > 0 {
		cause := ErrTimeout
		if c.Immediate {
			cause = errTimeout
		}
		ctx, stop = context.WithTimeoutCause(ctx, limit, cause)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	x := &execution{task: c, done: make(chan struct{}), cause: func() error { return context.Cause(ctx) }}
	x.cancel = func(cause error) { cancel(cause); stop() }
	w.mu.Lock()
	if old := w.runs[c.ID]; old != nil { // under a claim that the database has forgotten; nobody else would stop it
		old.cancel(errFenced)
	}
	w.runs[c.ID] = x
	w.mu.Unlock()
	env, err := w.newEnv(ctx, c)
	return x, env, err
}

// call runs the task's function. It is a goroutine of its own, so that a function that ends its goroutine ends
// nothing else, and one that never returns can be left behind.
func (w *Worker) call(x *execution, env *Env, raw []byte) {
	returned := false
	defer close(x.done)
	defer func() {
		if v := recover(); v != nil {
			x.err = &panicError{v, debug.Stack()}
		} else if !returned {
			x.err = errGoexit
		}
	}()
	x.result, x.err = w.apply(env, raw)
	returned = true
}

func (w *Worker) apply(env *Env, raw []byte) (json.RawMessage, error) {
	c := env.claimed
	b, ok := w.bindings[c.Name]
	if !ok {
		return nil, pulperr.Public(pulperr.Unsupported, "No plugin of this worker has a task %q.", c.Name)
	}
	if raw == nil {
		var err error
		if raw, err = openArgs(w.q.db, taskTable, c.ID, c.Args); err != nil {
			return nil, fmt.Errorf("tasking: arguments of %s: %w", c.Name, err)
		}
	}
	result, err := w.execute(env, b, raw)
	if err == nil {
		err = checkResult(c.Name, result)
	}
	return result, err
}

// checkResult fails if the result of a task is too large to be stored.
func checkResult(name string, result json.RawMessage) error {
	if len(result) <= maxJSON {
		return nil
	}
	return pulperr.Public(pulperr.Invalid,
		"the result of task %q has %d bytes and may have %d; store what is large and name it", name, len(result), maxJSON)
}

// ending says what the function's return means.
func (w *Worker) ending(x *execution) ending {
	if x.err == nil {
		return ending{state: models.Completed, result: x.result}
	}
	e := ending{state: models.Failed, retry: x.task.retryPause(x.err)}
	switch cause := x.cause(); {
	case errors.Is(cause, ErrShutdown):
		e.err = &models.TaskError{Reason: "Aborted during worker shutdown."}
		if e.retry != nil || x.task.MaxAttempts > 1 && !x.task.Immediate { // also after the last attempt: it does not count
			e.retry, e.spared = new(time.Duration(0)), true
		}
	case errors.Is(cause, ErrLost):
		e.err = &models.TaskError{Reason: "The worker lost its connection to the database."}
	case errors.Is(cause, errTimeout):
		e.err = w.taskError(cause)
	case errors.Is(cause, ErrTimeout):
		e.err = &models.TaskError{Description: fmt.Sprintf("The task timed out after %s.", w.limit(x.task))}
	default:
		e.err = w.taskError(x.err)
	}
	return e
}

// taskError returns what clients may know about err.
func (w *Worker) taskError(err error) *models.TaskError {
	if d, ok := errors.AsType[*deathError](err); ok {
		return &models.TaskError{Reason: d.reason}
	}
	e := &models.TaskError{Description: pulperr.Message(err), Code: pulperr.Code(err)}
	if p, ok := errors.AsType[*panicError](err); ok && w.opts.Tracebacks {
		stack := string(p.stack)
		e.Traceback = &stack
	}
	return e
}

// conclude writes down how the task ended, releases what it reserved and cleans up.
func (w *Worker) conclude(
	l *life, x *execution, env *Env, e ending, continues func() bool,
) (models.TaskState, *claimed) {
	ctx := context.WithoutCancel(env.ctx)
	defer x.cancel(nil)
	defer func() {
		w.mu.Lock()
		if w.runs[x.task.ID] == x {
			delete(w.runs, x.task.ID)
		}
		w.mu.Unlock()
	}()
	defer env.removeWorkDir()
	if x.fenced(env) {
		w.q.tel.ended(ctx, env, outcomeFenced, errFenced)
		env.Log.WarnContext(ctx, "task was taken from this worker", "err", x.err)
		return "", nil
	}
	done, err := w.finish(ctx, l, env, e, continues)
	switch {
	case errors.Is(err, errFenced):
		w.q.tel.ended(ctx, env, outcomeFenced, errFenced)
		env.Log.WarnContext(ctx, "task was taken from this worker", "err", x.err)
		return "", nil
	case err != nil:
		w.q.tel.ended(ctx, env, outcomeUnstored, err)
		env.Log.ErrorContext(ctx, "the end of a task could not be stored", "err", err)
		return "", nil
	case done.state == models.Waiting:
		w.q.tel.ended(ctx, env, outcomeRetried, x.err)
		env.Log.WarnContext(ctx, "task runs again", "pause", *e.retry, "err", x.err)
		w.q.emit(taskEvent(&x.task.Task, models.Waiting))
		return "", nil
	}
	w.q.tel.ended(ctx, env, outcome(done.state), x.err)
	env.logEnd(ctx, done.state, x.err)
	if !env.completion.is(completed) { // else CompleteTx has told of it
		w.q.emit(taskEvent(&x.task.Task, done.state))
	}
	w.q.deliver(ctx, done.ready...)
	return done.state, done.next
}

// fenced reports whether the task is known not to be this worker's any more: by the heartbeat, or by a transaction of
// the function, of which only those after CompleteTx say nothing about it.
func (x *execution) fenced(env *Env) bool {
	return errors.Is(x.cause(), errFenced) || errors.Is(x.err, errFenced) && !env.completion.is(completed)
}

func (e *Env) logEnd(ctx context.Context, state models.TaskState, cause error) {
	level := slog.LevelInfo
	switch {
	case state == models.Failed:
		level = slog.LevelError
	case state == models.Completed && cause != nil: // what the function returned after CompleteTx
		level = slog.LevelWarn
	}
	if !e.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("state", string(state)), slog.Duration("duration", time.Since(e.began))}
	if cause != nil {
		attrs = append(attrs, slog.Any("err", cause))
	}
	e.Log.LogAttrs(ctx, level, "task has ended", attrs...)
}

// finish stores an ending, however long the database takes to answer. The state it returns is Waiting if the task runs
// again.
func (w *Worker) finish(
	ctx context.Context, l *life, env *Env, e ending, continues func() bool,
) (done finished, err error) {
	if env.completion.is(completed) {
		return finished{state: models.Completed}, nil
	}
	if e.state != models.Completed {
		if err := w.discard(ctx, env); err != nil {
			return finished{}, err
		}
	}
	store := func(fn func() error) error {
		hopeless := func(err error) bool { return ctx.Err() != nil || finishWillNotHelp(err) }
		return patient(l.abandon, hopeless, func(err error) {
			env.Log.WarnContext(ctx, "the end of a task is stored later", "err", err)
		}, fn)
	}
	if e.retry != nil {
		err := store(func() error { return w.q.putBack(ctx, env.claimed, *e.retry, e.counts()) })
		if err == nil || !errors.Is(err, errFenced) {
			return finished{state: models.Waiting}, err
		}
	}
	for {
		reported := env.reported.Load() || w.isIsolated(env.claimed.Name)
		f := &finishing{task: env.claimed, end: e, reported: reported}
		err := store(func() (err error) {
			f.continues = continues != nil && continues()
			done, err = w.end(ctx, f)
			return err
		})
		if err == nil || !sqldialect.IsDataError(err) || e.result == nil {
			return done, err
		}
		env.Log.ErrorContext(ctx, "the result of a task cannot be stored", "err", err)
		e = ending{state: models.Failed, err: &models.TaskError{Description: "The result of the task cannot be stored."}}
	}
}

func finishWillNotHelp(err error) bool {
	return errors.Is(err, errFenced) || sqldialect.IsDataError(err)
}

// discard removes what a task left incomplete. What it reads and what it writes is fenced: of a task that was taken
// from this worker, the incomplete resources are those of another attempt. What cannot be removed stays.
//
// Errors: errFenced.
func (w *Worker) discard(ctx context.Context, env *Env) error {
	db, task := env.DB, env.claimed.ID
	if w.opts.Discard == nil {
		return nil
	}
	var prns []string
	err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		return tx.Bun().NewRaw("SELECT prn FROM core_createdresource WHERE task_id = ? AND incomplete", task).
			Scan(ctx, &prns)
	})
	if errors.Is(err, errFenced) {
		return err
	}
	if err != nil {
		env.Log.ErrorContext(ctx, "incomplete resources cannot be read", "err", err)
	}
	for _, prn := range prns {
		err := w.opts.Discard(ctx, db, prn)
		if err == nil || errors.Is(err, pulperr.NotFound) {
			err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("DELETE FROM core_createdresource WHERE task_id = ? AND prn = ?", task, prn).Exec(ctx)
				return err
			})
		}
		if errors.Is(err, errFenced) {
			return err
		}
		if err != nil {
			env.Log.ErrorContext(ctx, "incomplete resource stays", "prn", prn, "err", err)
		}
	}
	return nil
}
