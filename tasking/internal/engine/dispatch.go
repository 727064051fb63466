package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Dispatcher stores tasks. Dispatches at the same time share a transaction.
type Dispatcher struct {
	db          *models.DB
	messenger   *Messenger
	telemetry   *Telemetry
	backlog     *Backlog
	immediates  *Immediates
	versions    PluginVersions // of the plugins of this process
	preferDefer bool
	at          func(point string)
	batches     batch.Writer[*Spec, dispatched]
}

// dispatched is the result of one dispatch in a batch.
type dispatched struct {
	taskdb.InsertedTask
	busy bool // another transaction has a lock: nothing was written
}

func (d *Dispatcher) init(c *Core, o *Options) {
	d.db, d.messenger, d.telemetry, d.backlog, d.immediates = c.DB, c.Messenger, c.Telemetry, &c.Backlog, &c.Immediates
	d.versions, d.preferDefer, d.at = o.Versions, o.PreferDefer, c.At
	d.batches.Limit = taskdb.ManyLocks
	d.batches.Weight = func(s *Spec) int { return max(1, len(s.Row.Reservations)) }
	d.batches.Write = d.write
	// Of these errors one task of the batch is the cause, and the others may be stored without it.
	d.batches.IsItemError = func(err error) bool {
		return sqldialect.IsDataError(err) || sqldialect.IsUniqueViolation(err) || errors.Is(err, pulperr.NotFound) ||
			errors.Is(err, ErrFenced)
	}
}

// Dispatch stores a task, together with what others dispatch at the same time, and executes it here if it is immediate
// and no task blocks it.
func (d *Dispatcher) Dispatch(ctx context.Context, s *Spec) (models.TaskState, error) {
	return d.telemetry.dispatch(ctx, s, d.dispatch)
}

func (d *Dispatcher) dispatch(ctx context.Context, s *Spec) (models.TaskState, error) {
	// Within a caller's transaction the task cannot run at once: its own transactions would not see its row on Postgres,
	// and on SQLite they would wait for the caller's.
	if s.Row.Immediate && !s.DB.InTx() && !(d.preferDefer && s.Row.Deferred) {
		if w := d.immediates.enter(); w != nil {
			return w.Dispatch(ctx, s)
		}
	}
	if !s.DB.InTx() {
		// The batch is written with another context, so the connection could not notice that this caller is inside of a
		// transaction and waits for itself.
		if err := s.DB.CheckOutside(ctx); err != nil {
			return "", fmt.Errorf("tasking: dispatch %s: %w", s.Row.Name, err)
		}
		done, err := d.batches.Do(ctx, s)
		if err != nil {
			return "", s.DispatchError(err)
		}
		if !done.busy {
			d.deliverInserted(ctx, s, done.InsertedTask)
			return models.TaskState(done.State), nil
		}
	}
	var state models.TaskState
	err := taskdb.LockedTx(ctx, s.DB, s.Row.Reservations, func(ctx context.Context, tx *models.Tx) (err error) {
		state, err = d.InsertAndDeliver(ctx, tx, s)
		return err
	})
	return state, s.DispatchError(err)
}

// DispatchIn stores a task in a transaction that may wait for the resources' locks for as long as it wants to.
func (d *Dispatcher) DispatchIn(ctx context.Context, tx *models.Tx, s *Spec) (models.TaskState, error) {
	return d.telemetry.dispatch(ctx, s, func(ctx context.Context, s *Spec) (models.TaskState, error) {
		if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), s.Row.Reservations, 0); err != nil {
			return "", s.DispatchError(err)
		}
		state, err := d.InsertAndDeliver(ctx, tx, s)
		return state, s.DispatchError(err)
	})
}

// write stores a batch of tasks in one transaction, without the busy ones.
func (d *Dispatcher) write(ctx context.Context, list []*Spec) ([]dispatched, error) {
	d.telemetry.Batch(ctx, batchDispatch, len(list))
	out := make([]dispatched, len(list))
	lists := make([][]taskdb.Reservation, len(list))
	for i, s := range list {
		lists[i] = s.Row.Reservations
	}
	busy, err := taskdb.BatchTx(ctx, d.db, lists, func(ctx context.Context, c taskdb.Conn, free []int) error {
		some := make([]*Spec, len(free))
		scopes := make([]*models.TaskScope, len(free))
		for i, at := range free {
			some[i], scopes[i] = list[at], list[at].DB.Task()
		}
		done, err := d.insert(ctx, c, some)
		if err != nil {
			return err
		}
		for i, at := range free {
			out[at].InsertedTask = done[i]
		}
		d.at("dispatch.before_commit")
		// As the last statement: a cancellation of the dispatching task would wait for all statements after it.
		return AsFenced(taskdb.FenceAll(ctx, c, scopes))
	})
	if err == nil {
		d.at("dispatch.committed")
	}
	for i := range busy {
		if busy[i] {
			out[i] = dispatched{busy: true}
		}
	}
	return out, err
}

// InsertAndDeliver stores one task, whose resources are locked, within a transaction and delivers it after the commit.
func (d *Dispatcher) InsertAndDeliver(ctx context.Context, tx *models.Tx, s *Spec) (models.TaskState, error) {
	done, err := d.insert(ctx, taskdb.On(tx.DB), []*Spec{s})
	if err != nil {
		return "", err
	}
	d.at("dispatch.before_commit")
	// A message before the commit would lead to a claim that finds no task.
	tx.AfterCommit(func() {
		d.at("dispatch.committed")
		d.deliverInserted(ctx, s, done[0])
	})
	return models.TaskState(done[0].State), nil
}

func (d *Dispatcher) deliverInserted(ctx context.Context, s *Spec, done taskdb.InsertedTask) {
	// Before the delivery: a worker could otherwise report the start of the task before its dispatch.
	d.messenger.Emit(s.event(models.TaskState(done.State)))
	d.telemetry.dispatched(ctx, s, done)
	if done.Ready && done.State == string(models.Waiting) {
		d.messenger.Deliver(ctx, taskdb.ReadyTask{ID: s.Row.ID, Queue: s.Row.Queue, Versions: s.Row.Versions})
	}
}

// insert writes tasks and their reservations, whose resources are locked.
func (d *Dispatcher) insert(ctx context.Context, c taskdb.Conn, batch []*Spec) ([]taskdb.InsertedTask, error) {
	groups := map[uuid.UUID]uuid.UUID{}
	for _, s := range batch {
		if s.Row.Group != nil {
			groups[*s.Row.Group] = s.Row.DomainID
		}
	}
	canceled, err := taskdb.CanceledGroups(ctx, c, groups)
	if err != nil {
		return nil, err
	}
	rows := make([]*taskdb.NewTask, len(batch))
	for i, s := range batch {
		// A copy: the same spec is inserted again if the batch fails and its items are written alone.
		row := s.Row
		reason := "Resources temporarily unavailable."
		if row.Group != nil && canceled[*row.Group] {
			row.Canceled, reason = true, "The task group was canceled."
		}
		text, err := json.Marshal(models.TaskError{Reason: reason})
		if err != nil {
			return nil, err
		}
		row.CancelReason, row.Grace = string(text), d.backlog.RedeliveryDelay()
		rows[i] = &row
	}
	return taskdb.InsertTasks(ctx, c, rows)
}
