package worker

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// immediate executes immediate tasks of a worker within their dispatch.
type immediate struct {
	core     *engine.Core
	session  *session
	executor *executor
	slots    chan struct{} // one token per task
}

// Enter takes a slot, or reports false if all are used or no work may begin.
func (w *immediate) Enter() bool {
	select {
	case w.slots <- struct{}{}:
	// Without a wait: a task that finds no slot goes to the queue, where any worker can execute it.
	default:
		return false
	}
	if !w.session.enter() {
		<-w.slots
		return false
	}
	return true
}

func (w *immediate) leave() {
	w.session.busy.Done()
	<-w.slots
}

// Dispatch stores an immediate task as running, if no earlier task blocks it, and executes it. The caller has entered.
func (w *immediate) Dispatch(ctx context.Context, s *engine.Spec) (state models.TaskState, err error) {
	worker, claim := w.session.workerID(), uuid.New()
	// The row is inserted with a claim. As a ready task it could be claimed by another worker before it runs here.
	s.Row.Worker, s.Row.Claim = &worker, &claim
	var t *taskdb.Claimed
	err = taskdb.LockedTx(ctx, s.DB, s.Row.Reservations, func(ctx context.Context, tx *models.Tx) (err error) {
		// The transaction may be repeated after a deadlock. A task that was free in the first run may be blocked in the
		// second one, and must not run then.
		t = nil
		if state, err = w.core.InsertAndDeliver(ctx, tx, s); err != nil || state != models.Running {
			return err
		}
		t, err = taskdb.ReadClaim(ctx, taskdb.On(tx.DB), s.Row.ID, claim)
		return err
	})
	if err != nil || t == nil {
		w.leave()
		return state, s.DispatchError(err)
	}
	// Buffered: after the timeout below there is no receiver, and the goroutine has to end all the same.
	ended := make(chan models.TaskState, 1)
	go func() { // counted in session.busy, which the worker waits for
		defer w.leave()
		final, _ := w.executor.run(t, s.Raw, nil)
		ended <- final
	}()
	// A second longer than the task's context lives: a function that obeys it returns in time, and the caller gets the
	// final state.
	timer := time.NewTimer(engine.ImmediateTimeout + time.Second)
	defer timer.Stop()
	select {
	case final := <-ended:
		if final != "" {
			state = final
		}
	case <-timer.C: // its function does not return; the task stays running until it does
	}
	return state, nil
}
