package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

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
// state, or "" if the task is not this worker's any more or could not be waited for.
func (w *Worker) run(l *life, c *claimed, raw []byte, limit time.Duration) models.TaskState {
	w.q.emit(taskEvent(&c.Task, models.Running))
	x, env, err := w.begin(c, limit)
	if err != nil {
		return w.conclude(l, x, env, ending{state: models.Failed, err: w.taskError(err)}, err)
	}
	go w.call(x, env, raw)
	select {
	case <-x.done:
	case <-l.abandon:
		w.log.Error("task does not end; its reservations stay until the process does", "task_id", c.ID, "task", c.Name)
		return ""
	}
	return w.conclude(l, x, env, w.ending(x), x.err)
}

// begin makes the surroundings of a task.
func (w *Worker) begin(c *claimed, limit time.Duration) (*execution, *Env, error) {
	ctx := context.WithValue(context.Background(), taskKey, c.ID)
	ctx = WithCID(ctx, c.LoggingCID)
	if c.UserID != nil {
		ctx = WithUser(ctx, *c.UserID)
	}
	stop := func() {}
	if limit > 0 {
		ctx, stop = context.WithTimeoutCause(ctx, limit, errTimeout)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	x := &execution{task: c, done: make(chan struct{}), cause: func() error { return context.Cause(ctx) }}
	x.cancel = func(cause error) { cancel(cause); stop() }
	w.mu.Lock()
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
		raw = c.Args
		if keys := w.q.db.Keys(); keys != nil {
			var err error
			if raw, err = keys.Open(c.Args); err != nil {
				return nil, fmt.Errorf("tasking: arguments of %s: %w", c.Name, err)
			}
		}
	}
	return b.run(env.ctx, env, raw)
}

// ending says what the function's return means.
func (w *Worker) ending(x *execution) ending {
	if x.err == nil {
		return ending{state: models.Completed, result: x.result}
	}
	switch cause := x.cause(); {
	case errors.Is(cause, ErrShutdown):
		return ending{state: models.Failed, err: &models.TaskError{Reason: "Aborted during worker shutdown."}}
	case errors.Is(cause, ErrLost):
		return ending{state: models.Failed, err: &models.TaskError{Reason: "The worker lost its connection to the database."}}
	case errors.Is(cause, errTimeout):
		return ending{state: models.Failed, err: w.taskError(cause)}
	}
	return ending{state: models.Failed, err: w.taskError(x.err)}
}

// taskError returns what clients may know about err.
func (w *Worker) taskError(err error) *models.TaskError {
	e := &models.TaskError{Description: pulperr.Message(err), Code: pulperr.Code(err)}
	if p, ok := errors.AsType[*panicError](err); ok && w.opts.Tracebacks {
		stack := string(p.stack)
		e.Traceback = &stack
	}
	return e
}

// conclude writes down how the task ended, releases what it reserved and cleans up.
func (w *Worker) conclude(l *life, x *execution, env *Env, e ending, cause error) models.TaskState {
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
	if errors.Is(x.cause(), errFenced) {
		env.Log.WarnContext(ctx, "task was taken from this worker", "err", cause)
		return ""
	}
	state, err := w.finish(ctx, l, env, e)
	switch {
	case errors.Is(err, errFenced):
		env.Log.WarnContext(ctx, "task was taken from this worker", "err", cause)
		return ""
	case err != nil:
		env.Log.ErrorContext(ctx, "the end of a task could not be stored", "err", err)
		return ""
	}
	level := env.Log.InfoContext
	if state == models.Failed {
		level = env.Log.ErrorContext
	}
	attrs := []any{"state", string(state), "duration", time.Since(env.began)}
	if cause != nil {
		attrs = append(attrs, "err", cause)
	}
	level(ctx, "task has ended", attrs...)
	w.q.emit(taskEvent(&x.task.Task, state))
	return state
}

// finish stores an ending, however long the database takes to answer.
func (w *Worker) finish(ctx context.Context, l *life, env *Env, e ending) (models.TaskState, error) {
	if e.state != models.Completed {
		w.discard(ctx, env.DB, env.claimed.ID)
	}
	var state models.TaskState
	for {
		hopeless := func(err error) bool { return ctx.Err() != nil || finishWillNotHelp(err) }
		err := patient(l.abandon, hopeless, func(err error) {
			env.Log.WarnContext(ctx, "the end of a task is stored later", "err", err)
		}, func() (err error) {
			state, err = w.q.finish(ctx, env.claimed, e)
			return err
		})
		if err == nil || !sqldialect.IsDataError(err) || e.result == nil {
			return state, err
		}
		env.Log.ErrorContext(ctx, "the result of a task cannot be stored", "err", err)
		e = ending{state: models.Failed, err: &models.TaskError{Description: "The result of the task cannot be stored."}}
	}
}

func finishWillNotHelp(err error) bool {
	return errors.Is(err, errFenced) || sqldialect.IsDataError(err)
}

// discard removes what a task left incomplete.
func (w *Worker) discard(ctx context.Context, db *models.DB, task uuid.UUID) {
	if w.opts.Discard == nil {
		return
	}
	var prns []string
	err := db.Bun().NewRaw("SELECT prn FROM core_createdresource WHERE task_id = ? AND incomplete", task).Scan(ctx, &prns)
	if err != nil {
		w.log.ErrorContext(ctx, "incomplete resources cannot be read", "task_id", task, "err", err)
		return
	}
	for _, prn := range prns {
		err := w.opts.Discard(ctx, db, prn)
		if err == nil || errors.Is(err, pulperr.NotFound) {
			err = db.Tx(ctx, func(tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("DELETE FROM core_createdresource WHERE task_id = ? AND prn = ?", task, prn).Exec(ctx)
				return err
			})
		}
		if err != nil {
			w.log.ErrorContext(ctx, "incomplete resource stays", "task_id", task, "prn", prn, "err", err)
		}
	}
}
