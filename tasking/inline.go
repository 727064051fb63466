package tasking

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// offerInline makes w execute immediate tasks that are dispatched in this process.
func (c *core) offerInline(w *Worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inline = append(c.inline, w)
}

func (c *core) withdrawInline(w *Worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inline = slices.DeleteFunc(c.inline, func(other *Worker) bool { return other == w })
}

// enterInline returns a worker of this process that may execute an immediate task now, or nil. leave ends it.
func (c *core) enterInline() (w *Worker, l *life, leave func()) {
	c.mu.Lock()
	workers := slices.Clone(c.inline)
	c.mu.Unlock()
	for _, w := range workers {
		if l, leave := w.enterInline(); l != nil {
			return w, l, leave
		}
	}
	return nil, nil, nil
}

// enterInline registers an immediate task, or returns nil if the worker has enough of them or drains.
func (w *Worker) enterInline() (l *life, leave func()) {
	select {
	case w.inline <- struct{}{}:
	default:
		return nil, nil
	}
	if l = w.enter(); l == nil {
		<-w.inline
		return nil, nil
	}
	return l, func() {
		l.busy.Done()
		<-w.inline
	}
}

// dispatchInline stores an immediate task as running already, if nothing is in its way, and executes it.
func (w *Worker) dispatchInline(ctx context.Context, q *Queue, s *spec, l *life, leave func()) (*Ticket, error) {
	worker, claim := w.id(), uuid.New()
	s.row.Worker, s.row.Claim = &worker, &claim
	var c *claimed
	var ticket *Ticket
	err := q.lockedTx(ctx, s.row.Reservations, lockPatience, func(ctx context.Context, tx *models.Tx) (err error) {
		c = nil // of an attempt that was rolled back
		if ticket, err = q.insertAndDeliver(ctx, tx, s); err != nil || ticket.State != models.Running {
			return err
		}
		c, err = q.In(tx.DB).readClaim(ctx, s.row.ID, claim)
		return err
	})
	if err != nil || c == nil {
		leave()
		return ticket, dispatchError(err, s)
	}
	ended := make(chan models.TaskState, 1)
	go func() { // counted in l.busy, which the worker waits for
		defer leave()
		state, _ := w.run(l, c, s.raw, nil)
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

// RunPending executes every task that is ready, and those that become ready by it, one after the other, and returns
// when none is left. It needs no Redis and leaves no goroutine behind. Other workers see that it is alive, however long
// a task takes. It is meant for tests and for programs that have no use for a worker of their own.
//
// Errors: those of [Worker.Run], or the cause of ctx, whose end also ends the running task with [ErrShutdown].
func (w *Worker) RunPending(ctx context.Context) error {
	l, err := w.begins(ctx, true)
	if err != nil {
		return err
	}
	defer w.ends(l)
	house, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	keeper.Go(func() { w.keepBeating(house, l) })
	defer w.startDrain(l)
	defer context.AfterFunc(ctx, func() { w.stopAll(ErrShutdown) })()
	for {
		claimed := false
		for t, err := range w.claimable(ctx) {
			if err != nil {
				return taskdb.Wrap(err, "read ready tasks")
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c, err := w.claim(l, t.ID)
			if err != nil {
				return taskdb.Wrap(err, "claim task %s", t.ID)
			}
			if c != nil {
				claimed = true
				w.run(l, c, nil, nil)
			}
		}
		if !claimed {
			return nil
		}
	}
}

// claimable yields the ready tasks of all queues that this worker may claim, the oldest of each queue first.
func (w *Worker) claimable(ctx context.Context) iter.Seq2[taskdb.ReadyTask, error] {
	return func(yield func(taskdb.ReadyTask, error) bool) {
		for _, queue := range []string{immediateQueue, defaultQueue} {
			for t, err := range w.q.readyTasks(ctx, queue) {
				if (err != nil || w.fulfils(t.Versions)) && !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}

const readyPage = 100

// readyTasks yields the ready tasks of a queue that may begin now, the oldest first.
func (q *Queue) readyTasks(ctx context.Context, queue string) iter.Seq2[taskdb.ReadyTask, error] {
	return func(yield func(taskdb.ReadyTask, error) bool) {
		for after := int64(0); ; {
			page, err := q.readReady(ctx, queue, after)
			if err != nil {
				yield(taskdb.ReadyTask{}, err)
				return
			}
			for _, t := range page {
				after = t.Seq
				if !yield(t.ReadyTask, nil) {
					return
				}
			}
			if len(page) < readyPage {
				return
			}
		}
	}
}

// queuedTask is a ready task with its place in the order.
type queuedTask struct {
	taskdb.ReadyTask
	Seq int64 `bun:"seq"`
}

// readReady returns the ready tasks of a queue behind a place that may begin now.
func (q *Queue) readReady(ctx context.Context, queue string, after int64) (page []queuedTask, err error) {
	err = q.db.Bun().NewRaw(`SELECT pulp_id, queue, delivery_gen, versions, seq FROM core_task
		WHERE state = 'waiting' AND unblocked_at IS NOT NULL AND queue = ?queue AND seq > ?after
			AND (not_before IS NULL OR not_before <= ?now) ORDER BY queue, seq LIMIT ?limit`,
		sqldialect.Named{"now": q.kind.Now(), "queue": queue, "after": after, "limit": readyPage}).Scan(ctx, &page)
	return page, err
}
