package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// isolate executes a task in a process of its own and returns when that has ended.
func (e *executor) isolate(a *attempt.Attempt) (json.RawMessage, error) {
	// The worker makes the directory, so that it can remove it after the process was killed.
	dir, err := a.Dir.Open()
	if err != nil {
		return nil, err
	}
	t := a.Task
	p, err := subprocess.Start(a.Log, e.opts.Command(),
		subprocess.Request{
			Task: t.ID, Claim: t.ClaimID, WorkDir: dir.Name(), CancelGrace: e.opts.CancelGrace, Trace: engine.TraceOf(a.Ctx),
		})
	if err != nil {
		return nil, fmt.Errorf("tasking: process of task %s: %w: %w", t.ID, pulperr.Unavailable, err)
	}
	end := p.Wait(a.Ctx, e.opts.CancelGrace)
	if end.Stuck != "" {
		a.Log.Error("task was told to stop and did not; its process was killed", "goroutines", end.Stuck)
	}
	// A task that is being canceled ends without the error of its function and keeps the one in its row, so the reason of
	// the kill is stored there.
	if death, ok := errors.AsType[*subprocess.DeathError](end.Err); ok && end.Killed {
		te := &models.TaskError{Reason: death.Reason}
		if end.Stuck != "" {
			te.Traceback = &end.Stuck
		}
		e.setError(a, te)
	}
	e.readReserved(a)
	return end.Result, end.Err
}

// readReserved reads what the process reserved for the task, so that its end releases it.
func (e *executor) readReserved(a *attempt.Attempt) {
	// A canceled task has reservations to release as well.
	ctx := context.WithoutCancel(a.Ctx)
	var now *taskdb.Claimed
	// Repeated until the database answers: a reservation that the worker does not know of would outlive the task.
	err := retryUntil(e.session.abandon, func(error) bool { return false }, func(err error) {
		a.Log.WarnContext(ctx, "the reservations of a task could not be read; it is tried again", "err", err)
	}, func() (err error) {
		now, err = taskdb.ReadClaim(ctx, taskdb.On(e.q.DB), a.Task.ID, a.Task.ClaimID)
		return err
	})
	if err != nil || now == nil {
		return
	}
	own := a.ReservedNames()
	a.AddReserved(slices.DeleteFunc(now.ReservedResources, func(name string) bool {
		return slices.Contains(own, name)
	})...)
}
