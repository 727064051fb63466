package tasking

import (
	"context"
	"log/slog"
	"os"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
)

// Env is what a task has to work with. It ends with the task. Its methods are safe for concurrent use.
type Env struct {
	// DB is bound to the task's domain. Transactions made with it fail with [ErrLost] once the task is not this worker's
	// any more, and rows that are created through it are recorded as made by the task. It has the store, if there is one.
	DB    *models.DB
	Store *storage.Store // nil if the worker has none
	Queue *Queue         // for tasks of the same domain, which get this one as their parent
	// Log adds task, attempt, correlation id and group to each line. Give its methods the function's ctx, which carries
	// the trace of the dispatch.
	Log   *slog.Logger
	Group *group.Group // nil if the task belongs to none; the progress of a nil group is counted nowhere
	Task  *models.Task // as it was when it started

	attempt *attempt.Attempt
}

// newEnv returns an attempt as the function of its task sees it.
func newEnv(a *attempt.Attempt) *Env {
	t := a.Task
	e := &Env{
		DB: a.DB, Store: a.Store, Queue: &Queue{core: a.Core, db: a.DB}, Log: a.Log, Task: &t.Task, attempt: a,
	}
	if t.TaskGroupID != nil {
		e.Group = group.Of(a.Core, a.DB, *t.TaskGroupID)
	}
	return e
}

// WorkDir returns the task's own directory, with mode 0700, made at the first call and removed with everything in it
// when the task has ended. Paths cannot lead out of it; its Name is its path, for programs that want one. The caller
// does not close it. No task may rely on the process's working directory or on [os.TempDir], which all tasks share; see
// also [Env.MkdirTemp], [Env.CreateTemp] and [Env.Command].
//
// Errors: Invalid if the worker has no WorkDir; Unavailable, with the system's error; Conflict once the task has ended.
func (e *Env) WorkDir() (*os.Root, error) { return e.attempt.Dir.Open() }

// Client returns the client that downloads from a remote, shared by all tasks of the process, so that the remote's
// connection and rate limits hold for all of them together. The caller does not close it.
//
// Errors: Invalid if the remote's settings are.
func (e *Env) Client(remote models.AnyRemote) (*download.Client, error) {
	return e.attempt.Client(e.DB, remote)
}

// Fetch downloads from a remote into a new file of the work directory. expect may be nil.
//
// Errors: those of [download.Client.Fetch].
func (e *Env) Fetch(
	ctx context.Context, remote models.AnyRemote, url string, expect *hashlib.Expect,
) (*download.Result, error) {
	return e.FetchRequest(ctx, remote, &download.Request{URL: url, Expect: expect})
}

// FetchRequest is [Env.Fetch] with all options of a request, such as headers and the largest size.
//
// Errors: those of [download.Client.Fetch].
func (e *Env) FetchRequest(
	ctx context.Context, remote models.AnyRemote, req *download.Request,
) (*download.Result, error) {
	c, err := e.Client(remote)
	if err != nil {
		return nil, err
	}
	dir, err := e.WorkDir()
	if err != nil {
		return nil, err
	}
	return c.Fetch(ctx, dir.Name(), req)
}

// Created records that the task made the row that prn names. Rows that package models creates through [Env.DB] are
// recorded without it.
func (e *Env) Created(ctx context.Context, tx *models.Tx, prn string) error {
	return e.attempt.Created(ctx, tx, prn)
}

// CompleteTx ends the task as completed within tx, the last transaction of its function: what tx wrote and the end of
// the task become true together, or neither. result is stored as JSON with the task; nil stores none. Progress reports
// that are running then are completed with what they have counted.
//
// Afterwards the function should return. Its return value has no effect on the task; an error is logged. Its later
// transactions fail with [ErrLost].
//
// Errors: [ErrCanceled] if the task is being canceled; [ErrLost] if it is not this worker's any more; Conflict if it
// was completed before; Invalid for a result of more than 16 MiB. The transaction must be rolled back then.
func (e *Env) CompleteTx(ctx context.Context, tx *models.Tx, result any) error {
	return e.attempt.CompleteTx(ctx, tx, result)
}

// Reserve gives the running task resources for itself that no other task has or waits for, from tx's commit until the
// task ends: rows that the task itself creates in tx, before others can see them. Make it one of the last things in tx:
// it changes the task's row, so until tx ends a cancellation of the task waits, and after 5 s is Locked.
//
// Errors: Locked if another task has or waits for one of them.
func (e *Env) Reserve(ctx context.Context, tx *models.Tx, resources ...Resource) error {
	names, err := resolve(e.DB.Registry(), resources)
	if err != nil {
		return err
	}
	return e.attempt.Reserve(ctx, tx, names)
}
