package tasking

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// immediates are the workers of this process that execute immediate tasks within their dispatch. Its zero value has
// none.
type immediates struct {
	mu      sync.Mutex
	workers []*immediate // the first one with a free slot executes the task
}

func (s *immediates) add(w *immediate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = append(s.workers, w)
}

func (s *immediates) remove(w *immediate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = slices.DeleteFunc(s.workers, func(other *immediate) bool { return other == w })
}

// enter returns a worker that has a slot for one task, or nil. The caller dispatches the task with it.
func (s *immediates) enter() *immediate {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.enter() {
			return w
		}
	}
	return nil
}

// immediate executes immediate tasks of a worker within their dispatch.
type immediate struct {
	session  *session
	executor *executor
	slots    chan struct{} // one token per task
}

// immediateTimeout is how long an immediate task may take.
const immediateTimeout = 5 * time.Second

// enter takes a slot, or reports false if all are used or no work may begin.
func (w *immediate) enter() bool {
	select {
	case w.slots <- struct{}{}:
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

// dispatch stores an immediate task as running, if no other task is in its way, and executes it. The caller has
// entered.
func (w *immediate) dispatch(ctx context.Context, q *Queue, s *spec) (*Ticket, error) {
	worker, claim := w.session.workerID(), uuid.New()
	s.row.Worker, s.row.Claim = &worker, &claim
	var t *taskdb.Claimed
	var ticket *Ticket
	err := taskdb.LockedTx(ctx, q.db, s.row.Reservations, func(ctx context.Context, tx *models.Tx) (err error) {
		t = nil // of a transaction that was rolled back
		if ticket, err = q.insertAndDeliver(ctx, tx, s); err != nil || ticket.State != models.Running {
			return err
		}
		t, err = taskdb.ReadClaim(ctx, taskdb.On(tx.DB), s.row.ID, claim)
		return err
	})
	if err != nil || t == nil {
		w.leave()
		return ticket, dispatchError(err, s)
	}
	ended := make(chan models.TaskState, 1)
	go func() { // counted in session.busy, which the worker waits for
		defer w.leave()
		state, _ := w.executor.run(t, s.raw, nil)
		ended <- state
	}()
	timer := time.NewTimer(immediateTimeout + time.Second)
	defer timer.Stop()
	select {
	case state := <-ended:
		if state != "" {
			ticket.State = state
		}
	case <-timer.C: // its function does not return; the task stays running until it does
	}
	return ticket, nil
}
