package tasking

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

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

	ctx       context.Context // of the task; for its own end only
	worker    *Worker
	claimed   *claimed
	downloads *download.Pool
	work      workDir
	reports   openReports
	isolated  bool // in a process of its own, which is this one
	began     time.Time

	completion completion
	reported   atomic.Bool // it has made progress reports
}

func (w *Worker) newEnv(ctx context.Context, c *claimed) (*Env, error) {
	e := &Env{
		DB: w.q.db, Queue: w.q, Store: w.opts.Store, Log: w.logOf(c), Task: &c.Task,
		ctx: ctx, worker: w, claimed: c, downloads: w.downloads(), began: time.Now(),
	}
	db := w.q.db
	if d := db.Domain(); d == nil || d.ID != c.DomainID {
		var err error
		if db, err = db.InDomainID(ctx, c.DomainID); err != nil {
			return e, fmt.Errorf("tasking: domain of task %s: %w", c.ID, err)
		}
	}
	e.DB = db.WithStore(w.opts.Store).ForTask(&models.TaskScope{
		TaskID: c.ID, ClaimID: c.ClaimID, Fence: fence(w.q.kind, c.ID, c.ClaimID, &e.completion),
	})
	e.Queue = w.q.In(e.DB)
	if c.TaskGroupID != nil {
		e.Group = &Group{ID: *c.TaskGroupID, q: e.Queue}
	}
	return e, nil
}

// logOf returns a log whose lines say which task and which attempt they are about.
func (w *Worker) logOf(c *claimed) *slog.Logger {
	attrs := append(make([]any, 0, 5), slog.Any("task_id", c.ID), slog.String("task", c.Name),
		slog.Int("attempt", c.Attempt))
	if c.LoggingCID != "" {
		attrs = append(attrs, slog.String("correlation_id", c.LoggingCID))
	}
	if c.TaskGroupID != nil {
		attrs = append(attrs, slog.Any("task_group_id", *c.TaskGroupID))
	}
	return w.log.With(attrs...)
}

// WorkDir returns the task's own directory, with mode 0700, made at the first call and removed with everything in it
// when the task has ended. Paths cannot lead out of it; its Name is its path, for programs that want one. The caller
// does not close it. No task may rely on the process's working directory or on [os.TempDir], which all tasks share; see
// also [Env.MkdirTemp], [Env.CreateTemp] and [Env.Command].
//
// Errors: Invalid if the worker has no WorkDir; Unavailable, with the system's error; Conflict once the task has ended.
func (e *Env) WorkDir() (*os.Root, error) { return e.work.open(e.worker, e.claimed) }

// Client returns the client that downloads from a remote, shared by all tasks of the process, so that the remote's
// connection and rate limits hold for all of them together. The caller does not close it.
//
// Errors: Invalid if the remote's settings are.
func (e *Env) Client(remote models.AnyRemote) (*download.Client, error) {
	r := remote.AsRemote()
	load := func() (*download.Config, error) {
		cfg := r.DownloadConfig(e.DB.Checksums(), e.worker.opts.ImportPaths)
		cfg.Log = e.worker.log
		return cfg, nil
	}
	c, err := e.downloads.Client(r.ID.String(), r.Updated.UTC().Format(time.RFC3339Nano), load)
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

// execIn runs one statement and stores how many rows it changed.
func execIn(ctx context.Context, idb bun.IDB, affected *int64, statement string, args ...any) error {
	res, err := idb.NewRaw(statement, args...).Exec(ctx)
	if err != nil {
		return err
	}
	*affected, err = res.RowsAffected()
	return err
}

func kindOr(err error, k pulperr.Kind) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", k, err)
}
