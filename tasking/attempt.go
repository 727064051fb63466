package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// attempt is one execution of a task by a worker, from the claim until its end is stored.
type attempt struct {
	task  *taskdb.Claimed
	began time.Time
	log   *slog.Logger
	env   *Env
	dir   workDir

	ctx    context.Context //nolint:containedctx // of the function; it ends with cancel
	cancel context.CancelCauseFunc
	done   chan struct{}   // closed when the function has returned; then result and err are set
	result json.RawMessage // of the function
	err    error

	self     selfCompletion
	reports  openReports
	reported atomic.Bool // it may have progress reports that are still running

	mu       sync.Mutex
	reserved []string // while it runs, besides those of its dispatch
}

// environment is what all attempts of a worker have in common.
type environment struct {
	q                *Queue
	log              *slog.Logger
	store            *storage.Store
	downloads        *download.Pool
	dirs             *workDirs
	importPaths      []string
	progressInterval time.Duration
	isolated         bool // this process has one task and was started for it
	complete         func(ctx context.Context, tx *models.Tx, a *attempt, result json.RawMessage) error
}

// attempt returns an attempt at a claimed task, whose context is a child of ctx and ends after limit; 0 is no limit.
// With an error, the attempt serves to store it as its end.
func (e *environment) attempt(ctx context.Context, t *taskdb.Claimed, limit time.Duration) (*attempt, error) {
	if t.UserID != nil {
		ctx = WithUser(ctx, *t.UserID)
	}
	stop := func() {}
	if limit > 0 {
		cause := ErrTimeout
		if t.Immediate {
			cause = errTimeout
		}
		ctx, stop = context.WithTimeoutCause(ctx, limit, cause)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{
		task: t, began: time.Now(), log: e.logOf(t), ctx: ctx, done: make(chan struct{}),
		dir: workDir{dirs: e.dirs, task: t},
	}
	a.cancel = func(cause error) { cancel(cause); stop() }
	var err error
	a.env, err = e.env(ctx, a)
	return a, err
}

// env returns what the function of an attempt works with.
func (e *environment) env(ctx context.Context, a *attempt) (*Env, error) {
	t := a.task
	env := &Env{DB: e.q.db, Queue: e.q, Store: e.store, Log: a.log, Task: &t.Task, attempt: a, environment: e}
	db := e.q.db
	if d := db.Domain(); d == nil || d.ID != t.DomainID {
		var err error
		if db, err = db.InDomainID(ctx, t.DomainID); err != nil {
			return env, fmt.Errorf("tasking: domain of task %s: %w", t.ID, err)
		}
	}
	env.DB = db.WithStore(e.store).ForTask(&models.TaskScope{TaskID: t.ID, ClaimID: t.ClaimID, Fence: a.fence(e.q.kind)})
	env.Queue = e.q.In(env.DB)
	if t.TaskGroupID != nil {
		env.Group = &Group{ID: *t.TaskGroupID, q: env.Queue}
	}
	return env, nil
}

// logOf returns a log whose lines name the task and the attempt.
func (e *environment) logOf(t *taskdb.Claimed) *slog.Logger {
	attrs := append(make([]any, 0, 5), slog.Any("task_id", t.ID), slog.String("task", t.Name),
		slog.Int("attempt", t.Attempt))
	if t.LoggingCID != "" {
		attrs = append(attrs, slog.String("correlation_id", t.LoggingCID))
	}
	if t.TaskGroupID != nil {
		attrs = append(attrs, slog.Any("task_group_id", *t.TaskGroupID))
	}
	return e.log.With(attrs...)
}

// attemptContext is what the context of an attempt begins with.
func attemptContext(t *taskdb.Claimed) context.Context {
	return WithCorrelationID(context.WithValue(context.Background(), taskKey, t.ID), t.LoggingCID)
}

// panicError is the error of a function that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

var errGoexit = errors.New("tasking: the task ended its goroutine (runtime.Goexit)")

// call runs fn and sets the result. It is the whole of a goroutine: a function that ends its goroutine ends nothing
// else, and one that never returns can be left behind.
func (a *attempt) call(fn func(*attempt) (json.RawMessage, error)) {
	returned := false
	defer close(a.done)
	defer func() {
		if v := recover(); v != nil {
			a.err = &panicError{v, debug.Stack()}
		} else if !returned {
			a.err = errGoexit
		}
	}()
	a.result, a.err = fn(a)
	returned = true
}

// await waits for the function. It calls stuck once if the function has not returned grace after it was told to stop,
// or when abandon is closed, for which await returns false.
func (a *attempt) await(grace time.Duration, abandon <-chan struct{}, stuck func()) bool {
	select {
	case <-a.done:
		return true
	case <-abandon: // the attempt began too late to be told to stop
		return false
	case <-a.ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-a.done:
		return true
	case <-timer.C:
	case <-abandon:
		stuck()
		return false
	}
	stuck()
	select {
	case <-a.done:
		return true
	case <-abandon:
		return false
	}
}

// cause returns why the context of the attempt ended, or nil while it has not.
func (a *attempt) cause() error { return context.Cause(a.ctx) }

// fenced reports whether the task is known to be another attempt's: by the heartbeat, or by a transaction of the
// function. Transactions after CompleteTx are always refused and prove nothing.
func (a *attempt) fenced() bool {
	return errors.Is(a.cause(), errFenced) || errors.Is(a.err, errFenced) && !a.self.is(completed)
}

// logEnd writes the line about the end of a task.
func (a *attempt) logEnd(ctx context.Context, state models.TaskState) {
	level := slog.LevelInfo
	switch {
	case state == models.Failed:
		level = slog.LevelError
	case state == models.Completed && a.err != nil: // what the function returned after CompleteTx
		level = slog.LevelWarn
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("state", string(state)), slog.Duration("duration", time.Since(a.began))}
	if a.err != nil {
		attrs = append(attrs, slog.Any("err", a.err))
	}
	a.log.LogAttrs(ctx, level, "task has ended", attrs...)
}

// flushReports writes the last numbers of reports that are still open when the function has returned: those of a
// goroutine that it left behind, and those that could not be written. The end of the task closes them.
func (a *attempt) flushReports() {
	a.reports.mu.Lock()
	defer a.reports.mu.Unlock()
	if len(a.reports.open) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), noteTimeout)
	defer cancel()
	for p := range a.reports.open {
		if err := a.env.save(ctx, p); err != nil {
			a.log.WarnContext(ctx, "progress report is not written", "err", err)
			return
		}
	}
}

// reservations returns what the task has reserved by now, and perhaps more.
func (a *attempt) reservations() []taskdb.Reservation {
	return taskdb.ReservationsOf(a.reservedNames())
}

func (a *attempt) reservedNames() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.task.ReservedResources, a.reserved)
}

// addReserved notes what the task has reserved while it runs.
func (a *attempt) addReserved(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved = append(a.reserved, names...)
}

// fence returns the last statement of each transaction of the function: it fails unless the task is still executed
// under the claim. It is not the first statement, because a cancellation would then wait for the whole transaction.
func (a *attempt) fence(kind sqldialect.Kind) func(context.Context, bun.IDB) error {
	return func(ctx context.Context, idb bun.IDB) error {
		c := taskdb.Conn{IDB: idb, Kind: kind}
		return asFenced(taskdb.Fence(ctx, c, a.task.ID, a.task.ClaimID, a.self.is(completing)))
	}
}

// asFenced turns the database's answer that a claim is not valid into the error that tasks see.
func asFenced(err error) error {
	if errors.Is(err, taskdb.ErrNotClaimed) {
		return errFenced
	}
	return err
}

// selfCompletion is how far a task is that ends within its own last transaction, see [Env.CompleteTx].
type selfCompletion struct {
	mu    sync.Mutex
	state int
}

const (
	notCompleted = iota
	completing   // in a transaction that may still be rolled back
	completed
)

func (c *selfCompletion) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == completed {
		return pulperr.Public(pulperr.Conflict, "the task is completed already")
	}
	c.state = completing
	return nil
}

func (c *selfCompletion) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = completed
}

func (c *selfCompletion) is(state int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == state
}
