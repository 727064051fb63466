// Package attempt has the execution of one task by a worker: its context, database handle, work directory, reservations
// and progress reports, from the claim until its end is stored. Package worker makes and ends attempts; the Env of
// package tasking is an attempt as a task's function sees it.
package attempt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Attempt is one execution of a task by a worker, from the claim until its end is stored.
type Attempt struct {
	*Environment
	Task  *taskdb.Claimed
	Began time.Time
	Log   *slog.Logger
	// DB is bound to the task's domain. Its transactions end with the check that the claim still holds.
	DB  *models.DB
	Dir WorkDir

	Ctx    context.Context //nolint:containedctx // of the function; it ends with Cancel
	Cancel context.CancelCauseFunc
	done   chan struct{}   // closed when the function has returned; then Result and Err are set
	Result json.RawMessage // of the function
	Err    error

	reports reports

	mu       sync.Mutex
	reserved []string // while it runs, besides those of its dispatch
	own      int      // how far the task is with its own completion
}

// Environment is what all attempts of a worker have in common.
type Environment struct {
	Core             *engine.Core
	Logger           *slog.Logger
	Store            *storage.Store
	Downloads        *download.Pool
	Dirs             *WorkDirs
	ImportPaths      []string
	ProgressInterval time.Duration
	Isolated         bool // this process has one task and was started for it
	// Complete ends the task of an attempt within tx, see [Attempt.CompleteTx].
	Complete func(ctx context.Context, tx *models.Tx, a *Attempt, result json.RawMessage) error
}

// Function is the function of a task.
type Function struct {
	Name       string        // of the task
	Args       reflect.Type  // a pointer to the arguments
	Timeout    time.Duration // 0 is without limit
	Subprocess bool          // it has a process of its own
	Run        func(ctx context.Context, a *Attempt, raw []byte) (json.RawMessage, error)
}

// New returns an attempt at a claimed task, whose context is a child of ctx and ends after limit; 0 is no limit. With
// an error, the attempt serves to store it as its end.
func (e *Environment) New(ctx context.Context, t *taskdb.Claimed, limit time.Duration) (*Attempt, error) {
	if t.UserID != nil {
		ctx = engine.WithUser(ctx, *t.UserID)
	}
	stop := func() {}
	if limit > 0 {
		cause := engine.ErrTimeout
		if t.Immediate {
			cause = engine.ErrImmediateTimeout
		}
		ctx, stop = context.WithTimeoutCause(ctx, limit, cause)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	a := &Attempt{
		Environment: e, Task: t, Began: time.Now(), Log: e.logOf(t), DB: e.Core.DB, Ctx: ctx, done: make(chan struct{}),
		Dir: WorkDir{dirs: e.Dirs, task: t},
	}
	// In this order: stop ends the parent context, which would set the cause first.
	a.Cancel = func(cause error) { cancel(cause); stop() }
	return a, a.bind(ctx)
}

// bind makes the handle of the task's domain.
func (a *Attempt) bind(ctx context.Context) error {
	db, t := a.DB, a.Task
	if d := db.Domain(); d == nil || d.ID != t.DomainID {
		var err error
		if db, err = db.InDomainID(ctx, t.DomainID); err != nil {
			return fmt.Errorf("tasking: domain of task %s: %w", t.ID, err)
		}
	}
	a.DB = db.WithStore(a.Store).ForTask(&models.TaskScope{TaskID: t.ID, ClaimID: t.ClaimID, Fence: a.fence})
	return nil
}

// logOf returns a log whose lines name the task and the attempt. The logger has the name of the task: its dots make the
// plugin's logger the parent.
func (e *Environment) logOf(t *taskdb.Claimed) *slog.Logger {
	attrs := append(make([]any, 0, 6), slog.String(settings.LoggerKey, t.Name), slog.Any("task_id", t.ID), slog.String("task", t.Name),
		slog.Int("attempt", t.Attempt))
	if t.LoggingCID != "" {
		attrs = append(attrs, slog.String("correlation_id", t.LoggingCID))
	}
	if t.TaskGroupID != nil {
		attrs = append(attrs, slog.Any("task_group_id", *t.TaskGroupID))
	}
	return e.Logger.With(attrs...)
}

// Client returns the client that downloads from a remote, shared by all tasks of the process.
//
// Errors: Invalid if the remote's settings are.
func (e *Environment) Client(db *models.DB, remote models.AnyRemote) (*download.Client, error) {
	return remote.AsRemote().DownloadClient(e.Downloads, db.Checksums(), e.ImportPaths, e.Logger)
}

// Context is what the context of an attempt begins with.
func Context(t *taskdb.Claimed) context.Context {
	return engine.WithCorrelationID(engine.WithTaskID(context.Background(), t.ID), t.LoggingCID)
}

// PanicError is the error of a function that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

var errGoexit = errors.New("tasking: the task ended its goroutine (runtime.Goexit)")

// Call runs fn and sets the result. It is the whole of a goroutine: a function that ends its goroutine ends no other
// work, and a function that never returns can be left behind.
func (a *Attempt) Call(fn func(*Attempt) (json.RawMessage, error)) {
	// recover returns nil after Goexit too, so the flag tells it from a return.
	returned := false
	// Deferred first, so that it runs last: a waiter may read Err only after it is set.
	defer close(a.done)
	defer func() {
		if v := recover(); v != nil {
			a.Err = &PanicError{v, debug.Stack()}
		} else if !returned {
			a.Err = errGoexit
		}
	}()
	a.Result, a.Err = fn(a)
	returned = true
}

// Await waits for the function. It calls stuck once if the function has not returned grace after the end of its
// context, or when abandon is closed; then it returns false.
func (a *Attempt) Await(grace time.Duration, abandon <-chan struct{}, stuck func()) bool {
	select {
	case <-a.done:
		return true
	case <-abandon: // the attempt began too late to be told to stop
		return false
	case <-a.Ctx.Done():
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

// Cause returns why the context of the attempt ended, or nil while it has not.
func (a *Attempt) Cause() error { return context.Cause(a.Ctx) }

// Fenced reports whether the task is known to be another attempt's: by the heartbeat, or by a transaction of the
// function.
func (a *Attempt) Fenced() bool {
	// After CompleteTx every transaction is refused, so its error is no evidence of a lost claim.
	return errors.Is(a.Cause(), engine.ErrFenced) || errors.Is(a.Err, engine.ErrFenced) && !a.Completed()
}

// LogEnd writes the line about the end of a task.
func (a *Attempt) LogEnd(ctx context.Context, state models.TaskState) {
	level := slog.LevelInfo
	switch {
	case state == models.Failed:
		level = slog.LevelError
	case state == models.Completed && a.Err != nil: // what the function returned after CompleteTx
		level = slog.LevelWarn
	}
	if !a.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("state", string(state)), slog.Duration("duration", time.Since(a.Began))}
	if a.Err != nil {
		attrs = append(attrs, slog.Any("err", a.Err))
	}
	a.Log.LogAttrs(ctx, level, "task has ended", attrs...)
}

// Reservations returns what the task has reserved by now, and perhaps more.
func (a *Attempt) Reservations() []taskdb.Reservation {
	return taskdb.ReservationsOf(a.ReservedNames())
}

// ReservedNames returns the names of what the task has reserved by now, and perhaps more.
func (a *Attempt) ReservedNames() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.Task.ReservedResources, a.reserved)
}

// AddReserved notes what the task has reserved while it runs.
func (a *Attempt) AddReserved(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved = append(a.reserved, names...)
}

// fence is the last statement of each transaction of the function: it fails unless the task is still executed under the
// claim.
func (a *Attempt) fence(ctx context.Context, idb bun.IDB) error {
	// As the first statement it would lock the row for the whole transaction, and a cancellation would wait for its end.
	c := taskdb.Conn{IDB: idb, Kind: a.Core.Kind}
	return engine.AsFenced(taskdb.Fence(ctx, c, a.Task.ID, a.Task.ClaimID, a.completing()))
}

// Created records that the task made the row that prn names.
func (a *Attempt) Created(ctx context.Context, tx *models.Tx, prn string) error {
	row := &models.CreatedResource{ID: models.NewID(), Created: models.Now(), TaskID: a.Task.ID, PRN: prn}
	_, err := tx.Bun().NewInsert().Model(row).Exec(ctx)
	return taskdb.Wrap(err, "record created resource %s", prn)
}

// Reserve gives the running task resources for itself that no other task has or waits for, from tx's commit until the
// task ends.
//
// Errors: Locked if another task has or waits for one of them.
func (a *Attempt) Reserve(ctx context.Context, tx *models.Tx, names []string) error {
	t, c := a.Task, taskdb.On(tx.DB)
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(t.ReservedResources, n) })
	slices.Sort(names)
	names = slices.Compact(names)
	if err := taskdb.LockResources(ctx, c, taskdb.ReservationsOf(names), 0); err != nil {
		return taskdb.Wrap(err, "reserve")
	}
	for _, name := range names {
		key := taskdb.ReservationsOf([]string{name})[0].Key
		free, err := taskdb.AddReservation(ctx, c, t.ID, t.Seq, name, key)
		if err != nil {
			return taskdb.Wrap(err, "reserve %q", name)
		}
		if free {
			// Now and not after the commit, whose answer may be lost. Releasing a reservation that does not exist does no harm.
			a.AddReserved(name)
			continue
		}
		// An earlier call may have committed although its answer was lost: then the reservation is the task's own (F60).
		own, err := taskdb.OwnsReservation(ctx, c, t.Seq, key)
		if err != nil {
			return taskdb.Wrap(err, "look for an own reservation")
		}
		if !own {
			return pulperr.Public(pulperr.Locked, "another task has reserved %q", name)
		}
	}
	return nil
}
