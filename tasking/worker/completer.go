package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// outcome is what the end of an attempt does to its task.
type outcome struct {
	state  models.TaskState // Completed or Failed; a task that is being canceled becomes Canceled instead
	err    *models.TaskError
	result json.RawMessage
	retry  *time.Duration // the task waits that long for its next attempt, unless it is being canceled
	spared bool           // this attempt does not count
}

// completer stores how tasks end, releases what they reserved and grants the tasks that waited for it. Ends at the same
// time share a transaction.
type completer struct {
	db        *models.DB
	session   *session
	claims    *claimer
	plugins   engine.PluginVersions
	telemetry *engine.Telemetry
	failpoint func(string)
	discard   func(ctx context.Context, db *models.DB, prn string) error // nil keeps incomplete resources

	batches batch.Writer[*completion, completionResult]
}

// completion is an attempt that ends, on its way into a batch.
type completion struct {
	attempt *attempt.Attempt
	outcome outcome
	reports bool // it may have progress reports that are still running
	chain   bool // its slot takes one of the tasks that become ready
	taken   []claimKey
}

// completionResult is the final state of a task and the tasks that its end made ready.
type completionResult struct {
	state models.TaskState // "" if the task is not executed under the attempt's claim
	next  *taskdb.Claimed  // the task with which the slot goes on; nil is none
	ready []taskdb.ReadyTask
	busy  bool // another transaction has a lock: nothing was written
}

func newCompleter(q *engine.Core, s *session, claims *claimer, o *Options) *completer {
	c := &completer{
		db: q.DB, session: s, claims: claims, plugins: o.Versions, telemetry: q.Telemetry, failpoint: q.At,
		discard: o.Discard,
	}
	c.batches.Limit = taskdb.ManyLocks
	// A batch with more reservations would have to lock all resources instead of its own.
	c.batches.Weight = func(f *completion) int { return max(1, len(f.attempt.ReservedNames())) }
	// A result that the database cannot store must fail its own task and not the whole batch.
	c.batches.Write, c.batches.IsItemError = c.write, sqldialect.IsDataError
	return c
}

// complete stores the outcome of an attempt, however long the database takes to answer. The state of the result is
// Waiting if the task runs again. If chain allows it then, the result has the task with which the slot goes on.
//
// Errors: engine.ErrFenced.
func (c *completer) complete(
	ctx context.Context, a *attempt.Attempt, o outcome, chain func() bool, isolated bool,
) (done completionResult, err error) {
	if a.Completed() {
		return completionResult{state: models.Completed}, nil
	}
	// Before the end is stored: it releases the reservations, and another task could then use a resource that is about to
	// be removed.
	if o.state != models.Completed {
		if err := c.discardIncomplete(ctx, a); err != nil {
			return completionResult{}, err
		}
	}
	if o.retry != nil {
		count := 0
		if o.spared {
			count = -1
		}
		err := c.persist(ctx, a, func() error { return c.claims.requeue(ctx, a.Task, *o.retry, count) })
		// A task that is being canceled is not queued again: it ends.
		if err == nil || !errors.Is(err, taskdb.ErrNotClaimed) {
			return completionResult{state: models.Waiting}, err
		}
	}
	for {
		f := &completion{attempt: a, outcome: o, reports: a.Reported() || isolated}
		err := c.persist(ctx, a, func() (err error) {
			// Asked again at each try: while the database was away, the budget may have ended or a shutdown begun.
			f.chain = chain != nil && chain()
			done, err = c.store(ctx, f)
			return err
		})
		if err == nil || !sqldialect.IsDataError(err) || o.result == nil {
			return done, engine.AsFenced(err)
		}
		// The second round stores the failure without the result, so that the reservations are released all the same.
		a.Log.ErrorContext(ctx, "the result of a task cannot be stored", "err", err)
		o = outcome{state: models.Failed, err: &models.TaskError{Description: "The result of the task cannot be stored."}}
	}
}

// persist calls fn until it succeeds or its error is final.
func (c *completer) persist(ctx context.Context, a *attempt.Attempt, fn func() error) error {
	final := func(err error) bool {
		return ctx.Err() != nil || errors.Is(err, taskdb.ErrNotClaimed) || sqldialect.IsDataError(err)
	}
	return retryUntil(c.session.abandon, final, func(err error) {
		a.Log.WarnContext(ctx, "the end of a task could not be stored; it is tried again", "err", err)
	}, fn)
}

// store ends a task once. It may be called again after an error, and succeeds if the first call had done its work.
//
// Errors: [taskdb.ErrNotClaimed].
func (c *completer) store(ctx context.Context, f *completion) (completionResult, error) {
	done, err := c.batches.Do(ctx, f)
	// In a transaction of its own, so that the batch does not wait for the lock.
	if err == nil && done.busy {
		list := f.attempt.Reservations()
		err = taskdb.LockedTx(ctx, c.db, list, func(ctx context.Context, tx *models.Tx) error {
			all, err := c.completeInTx(ctx, taskdb.On(tx.DB), []*completion{f}, [][]taskdb.Reservation{list})
			if err == nil {
				done = all[0]
			}
			return err
		})
	}
	// Either the claim is lost, or an earlier try was committed and its answer lost (F48).
	if err == nil && done.state == "" {
		return c.earlier(ctx, f)
	}
	return done, err
}

// earlier returns the result of an earlier call of store whose answer was lost.
func (c *completer) earlier(ctx context.Context, f *completion) (done completionResult, err error) {
	if done.state, err = taskdb.FinalState(ctx, taskdb.On(c.db), f.attempt.Task); err != nil {
		return done, err
	}
	// A chained task was claimed in the transaction whose answer was lost. If this slot did not go on with it, no worker
	// would execute it.
	for _, t := range f.taken {
		if done.next, err = taskdb.ReadClaim(ctx, taskdb.On(c.db), t.task, t.claim); err != nil || done.next != nil {
			return done, err
		}
	}
	return done, nil
}

// write ends a batch of tasks in one transaction, without the busy ones.
func (c *completer) write(ctx context.Context, list []*completion) ([]completionResult, error) {
	c.telemetry.Batch(ctx, engine.BatchFinish, len(list))
	out := make([]completionResult, len(list))
	lists := make([][]taskdb.Reservation, len(list))
	for i, f := range list {
		lists[i] = f.attempt.Reservations()
	}
	busy, err := taskdb.BatchTx(ctx, c.db, lists, func(ctx context.Context, conn taskdb.Conn, free []int) error {
		some, someLists := make([]*completion, len(free)), make([][]taskdb.Reservation, len(free))
		for i, at := range free {
			some[i], someLists[i] = list[at], lists[at]
		}
		done, err := c.completeInTx(ctx, conn, some, someLists)
		for i, d := range done {
			out[free[i]] = d
		}
		c.failpoint("finish.before_commit")
		return err
	})
	if err == nil {
		c.failpoint("finish.committed")
	}
	for i := range busy {
		if busy[i] {
			out[i] = completionResult{busy: true}
		}
	}
	return out, err
}

// completeInTx ends tasks whose resources the transaction has locked.
func (c *completer) completeInTx(
	ctx context.Context, conn taskdb.Conn, list []*completion, lists [][]taskdb.Reservation,
) ([]completionResult, error) {
	ends := make([]taskdb.Completion, len(list))
	for i, f := range list {
		o := f.outcome
		ends[i] = taskdb.Completion{Task: f.attempt.Task, State: o.state, Err: o.err, Result: o.result}
	}
	// First, because this statement compares the claims: an attempt that has lost its claim must change neither reports
	// nor reservations.
	states, err := taskdb.Complete(ctx, conn, ends)
	if err != nil {
		return nil, err
	}
	out := make([]completionResult, len(list))
	var held []taskdb.Held
	for i, f := range list {
		t := f.attempt.Task
		out[i].state = states[t.ID]
		if out[i].state == "" {
			continue
		}
		held = append(held, taskdb.Held{Seq: t.Seq, Reservations: lists[i]})
		// Most tasks have no reports and save this statement.
		if f.reports {
			if err := taskdb.EndReports(ctx, conn, out[i].state, t.ID); err != nil {
				return nil, err
			}
		}
	}
	if len(held) == 0 {
		return out, nil
	}
	ready, err := taskdb.Release(ctx, conn, held...)
	if err != nil {
		return nil, err
	}
	if ready, err = c.chain(ctx, conn, list, out, ready); err != nil {
		return nil, err
	}
	distribute(out, ready)
	return out, nil
}

// chain claims tasks that became ready for the slots that go on, and returns the other ones. A chain of tasks on one
// resource then costs one commit per task and no message.
func (c *completer) chain(
	ctx context.Context, conn taskdb.Conn, list []*completion, out []completionResult, ready []taskdb.ReadyTask,
) ([]taskdb.ReadyTask, error) {
	var left []taskdb.ReadyTask
	var ids []uuid.UUID
	var takers []int
	next := 0
	for _, t := range ready {
		for next < len(list) && (!list[next].chain || out[next].state == "") {
			next++
		}
		// A slot belongs to a queue: a long task must not take a slot that is kept for immediate ones.
		if next == len(list) || list[next].attempt.Task.Queue != t.Queue || !c.plugins.Fulfil(t.Versions) {
			left = append(left, t)
			continue
		}
		ids, takers = append(ids, t.ID), append(takers, next)
		next++
	}
	if len(ids) == 0 {
		return left, nil
	}
	claim := uuid.New()
	found, err := taskdb.Claim(ctx, conn, ids, c.session.workerID(), claim)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		// The claim is noted before the commit, whose answer may be lost: see earlier.
		f := list[takers[i]]
		out[takers[i]].next, f.taken = found[id], append(f.taken, claimKey{id, claim})
	}
	return left, nil
}

// distribute gives each result with a state some of the tasks that became ready, so that their callers announce them
// side by side. There is at least one such result.
func distribute(out []completionResult, ready []taskdb.ReadyTask) {
	for i := 0; len(ready) > 0; i = (i + 1) % len(out) {
		if out[i].state != "" {
			out[i].ready, ready = append(out[i].ready, ready[0]), ready[1:]
		}
	}
}

// discardIncomplete removes what a task left incomplete. Resources that cannot be removed stay.
//
// Errors: engine.ErrFenced.
func (c *completer) discardIncomplete(ctx context.Context, a *attempt.Attempt) error {
	if c.discard == nil {
		return nil
	}
	db, task := a.DB, a.Task.ID
	var prns []string
	// A fenced transaction also for the read: if the claim is lost, the incomplete resources belong to the next attempt.
	err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		prns, err = taskdb.IncompleteResources(ctx, taskdb.On(tx.DB), task)
		return err
	})
	if errors.Is(err, engine.ErrFenced) {
		return err
	}
	if err != nil {
		a.Log.ErrorContext(ctx, "incomplete resources of a task could not be read; they stay", "err", err)
	}
	for _, prn := range prns {
		err := c.discard(ctx, db, prn)
		if err == nil || errors.Is(err, pulperr.NotFound) {
			err = db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
				return taskdb.ForgetCreated(ctx, taskdb.On(tx.DB), task, prn)
			})
		}
		if errors.Is(err, engine.ErrFenced) {
			return err
		}
		if err != nil {
			// A resource that cannot be removed must not keep the task from ending.
			a.Log.ErrorContext(ctx, "incomplete resource of a task could not be removed; it stays", "prn", prn, "err", err)
		}
	}
	return nil
}

// completeTx ends the task of an attempt within tx, see [attempt.Attempt.CompleteTx].
func (c *completer) completeTx(ctx context.Context, tx *models.Tx, a *attempt.Attempt, result json.RawMessage) error {
	conn, list := taskdb.On(tx.DB), a.Reservations()
	// Without a timeout, which would hold for the other statements of the caller's transaction too.
	if err := taskdb.LockResources(ctx, conn, list, 0); err != nil {
		return err
	}
	// Before the task's row is locked, in the order in which every writer of reports locks the two.
	reports, err := a.WriteReports(ctx, conn)
	if err != nil {
		return err
	}
	f := &completion{attempt: a, outcome: outcome{state: models.Completed, result: result}, reports: true}
	done, err := c.completeInTx(ctx, conn, []*completion{f}, [][]taskdb.Reservation{list})
	switch {
	case err != nil:
		return err
	case done[0].state == models.Canceled:
		return engine.ErrCanceled
	case done[0].state == "":
		return engine.ErrLost
	}
	q := a.Core
	// A transaction that is rolled back must not report an end that did not happen.
	tx.AfterCommit(func() {
		a.SetCompleted()
		for _, r := range reports {
			if r.State == models.Running {
				r.State = models.Completed
			}
			q.Emit(event.OfProgress(&a.Task.Task, &r))
		}
		if !a.Isolated { // else the worker that started this process emits the event
			q.Emit(event.OfTask(&a.Task.Task, models.Completed))
		}
		q.Deliver(ctx, done[0].ready...)
	})
	return nil
}
