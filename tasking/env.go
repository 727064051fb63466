package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Env is what a task has to work with. It ends with the task. Its methods are safe for concurrent use.
type Env struct {
	// DB is bound to the task's domain. Transactions made with it fail with [ErrLost] once the task is not this worker's
	// any more, and what is created through it is recorded as made by the task. It has the store, if there is one.
	DB    *models.DB
	Store *storage.Store // nil if the worker has none
	Queue *Queue         // for tasks of the same domain, which get this one as their parent
	// Log says which task, attempt, correlation id and group it is. Give its methods the function's ctx, which carries
	// the trace of the dispatch.
	Log   *slog.Logger
	Group *Group       // nil if the task belongs to none; the progress of a nil group is counted nowhere
	Task  *models.Task // as it was when it started

	attempt     *attempt
	environment *environment
}

// WorkDir returns the task's own directory, with mode 0700, made at the first call and removed with everything in it
// when the task has ended. Paths cannot lead out of it; its Name is its path, for programs that want one. The caller
// does not close it. No task may rely on the process's working directory or on [os.TempDir], which all tasks share; see
// also [Env.MkdirTemp], [Env.CreateTemp] and [Env.Command].
//
// Errors: Invalid if the worker has no WorkDir; Unavailable, with the system's error; Conflict once the task has ended.
func (e *Env) WorkDir() (*os.Root, error) { return e.attempt.dir.open() }

// Client returns the client that downloads from a remote, shared by all tasks of the process, so that the remote's
// connection and rate limits hold for all of them together. The caller does not close it.
//
// Errors: Invalid if the remote's settings are.
func (e *Env) Client(remote models.AnyRemote) (*download.Client, error) {
	r := remote.AsRemote()
	load := func() (*download.Config, error) {
		cfg := r.DownloadConfig(e.DB.Checksums(), e.environment.importPaths)
		cfg.Log = e.environment.log
		return cfg, nil
	}
	c, err := e.environment.downloads.Client(r.ID.String(), r.Updated.UTC().Format(time.RFC3339Nano), load)
	if err != nil {
		return nil, fmt.Errorf("tasking: client of remote %q: %w", r.Name, err)
	}
	return c, nil
}

// Fetch downloads from a remote into a new file of the work directory. expect may be nil.
//
// Errors: those of [download.Client.Fetch].
func (e *Env) Fetch(
	ctx context.Context, remote models.AnyRemote, url string, expect *hashlib.Expect,
) (*download.Result, error) {
	return e.FetchRequest(ctx, remote, &download.Request{URL: url, Expect: expect})
}

// FetchRequest is [Env.Fetch] with all that a request can say, such as headers and the largest size.
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
	row := &models.CreatedResource{ID: models.NewID(), Created: models.Now(), TaskID: e.Task.ID, PRN: prn}
	_, err := tx.Bun().NewInsert().Model(row).Exec(ctx)
	return taskdb.Wrap(err, "record created resource %s", prn)
}

// CompleteTx ends the task as completed within tx, the last transaction of its function: what tx wrote and the end of
// the task become true together, or neither. result is stored as JSON with the task; nil stores none. Progress reports
// that are running then are completed with what they have counted.
//
// Afterwards the function should return. What it returns changes nothing; an error is logged. Its later transactions
// fail with [ErrLost].
//
// Errors: [ErrCanceled] if the task is being canceled; [ErrLost] if it is not this worker's any more; Conflict if it
// was completed before; Invalid for a result of more than 16 MiB. The transaction must be rolled back then.
func (e *Env) CompleteTx(ctx context.Context, tx *models.Tx, result any) error {
	name, id := e.attempt.task.Name, e.attempt.task.ID
	var raw json.RawMessage
	if result != nil {
		var err error
		if raw, err = json.Marshal(result); err != nil {
			return fmt.Errorf("tasking: result of %s: %w", name, err)
		}
		if err := checkResult(name, raw); err != nil {
			return err
		}
	}
	if err := e.attempt.self.begin(); err != nil {
		return err
	}
	err := e.environment.complete(ctx, tx, e.attempt, raw)
	if errors.Is(err, ErrCanceled) || errors.Is(err, ErrLost) {
		return err
	}
	return taskdb.Wrap(err, "complete task %s", id)
}

func kindOr(err error, k pulperr.Kind) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", k, err)
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
	t, c := e.attempt.task, taskdb.On(tx.DB)
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
			// Now and not after the commit, whose answer may be lost. To release what was not reserved does no harm.
			e.attempt.addReserved(name)
			continue
		}
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
