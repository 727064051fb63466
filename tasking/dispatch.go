package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// The queues. Short work has its own, so that it never waits for a sync.
const (
	defaultQueue   = "default"
	immediateQueue = "immediate"
)

// spec is a task that is ready to be stored.
type spec struct {
	db  *models.DB // whose task dispatches it, if any
	row taskdb.NewTask
	raw []byte // the arguments in the clear, for execution in this process
}

const (
	// maxName is the longest name of a task and of an idempotency key, in bytes.
	maxName = 255
	// maxJSON is how many bytes the arguments of a task and its result may have, each as JSON.
	maxJSON = 16 << 20
)

func (q *Queue) newSpec(
	ctx context.Context, name string, raw []byte, resources Resources, o *DispatchOptions,
) (*spec, error) {
	domain := q.db.Domain()
	switch {
	case domain == nil:
		return nil, fmt.Errorf("tasking: dispatch %s: the queue's database handle has no domain: %w", name, pulperr.Invalid)
	case o.Mode < Deferred || o.Mode > ImmediateOnly:
		return nil, pulperr.Public(pulperr.Invalid, "task %q: there is no mode %d", name, o.Mode)
	case o.MaxAttempts < 0:
		return nil, pulperr.Public(pulperr.Invalid, "task %q: the number of attempts is negative", name)
	case len(raw) > maxJSON:
		return nil, pulperr.Public(pulperr.Invalid,
			"the arguments of task %q have %d bytes and may have %d; store what is large and name it", name, len(raw), maxJSON)
	case name == "" || len(name) > maxName || len(o.IdempotencyKey) > maxName,
		models.HasNUL(name + o.IdempotencyKey + o.CorrelationID):
		return nil, pulperr.Public(pulperr.Invalid, "the name or key of task %q is empty, too long or contains a NUL", name)
	}
	names, err := resources.names(q.db.Registry(), models.CorePRN("domain", domain.ID))
	if err != nil {
		return nil, err
	}
	versions, err := q.requirements(name, o.Versions)
	if err != nil {
		return nil, err
	}
	id := models.NewID()
	sealed, err := sealArgs(q.db, taskTable, id, raw)
	if err != nil {
		return nil, fmt.Errorf("tasking: dispatch %s: %w", name, err)
	}
	s := &spec{db: q.db, raw: raw, row: taskdb.NewTask{
		ID: id, DomainID: domain.ID, Name: name, CID: o.CorrelationID, UserID: o.User, Args: sealed,
		Resources: names, Reservations: taskdb.ReservationsOf(names), Immediate: o.Mode != Deferred,
		Deferred: o.Mode != ImmediateOnly, Queue: defaultQueue, MaxAttempts: o.MaxAttempts, Versions: versions,
	}}
	if o.Mode != Deferred {
		s.row.Queue = immediateQueue
	}
	if s.row.CID == "" {
		s.row.CID = CorrelationID(ctx)
	}
	if id, ok := User(ctx); ok && s.row.UserID == nil {
		s.row.UserID = &id
	}
	if id, ok := TaskID(ctx); ok {
		s.row.Parent = &id
	}
	if o.Group != nil {
		s.row.Group = &o.Group.ID
	}
	if o.IdempotencyKey != "" {
		s.row.IdempotencyKey = &o.IdempotencyKey
	}
	return s, nil
}

// dispatch stores a task, together with what others dispatch at the same time, and executes it here if it is immediate
// and nothing is in its way.
func (q *Queue) dispatch(ctx context.Context, s *spec) (*Ticket, error) {
	if s.row.Immediate && !q.db.InTx() && !(q.preferDefer && s.row.Deferred) {
		if w := q.immediates.enter(); w != nil {
			return w.dispatch(ctx, q, s)
		}
	}
	if !q.db.InTx() {
		if err := q.db.CheckOutside(ctx); err != nil {
			return nil, fmt.Errorf("tasking: dispatch %s: %w", s.row.Name, err)
		}
		done, err := q.dispatches.Do(ctx, s)
		if err != nil {
			return nil, dispatchError(err, s)
		}
		if !done.busy {
			q.deliverInserted(ctx, s, done.InsertedTask)
			return &Ticket{TaskID: s.row.ID, State: models.TaskState(done.State)}, nil
		}
	}
	var ticket *Ticket
	err := taskdb.LockedTx(ctx, q.db, s.row.Reservations, func(ctx context.Context, tx *models.Tx) (err error) {
		ticket, err = q.insertAndDeliver(ctx, tx, s)
		return err
	})
	return ticket, dispatchError(err, s)
}

func (q *Queue) dispatchTx(ctx context.Context, tx *models.Tx, s *spec) (*Ticket, error) {
	return q.tel.dispatch(ctx, s, func(ctx context.Context) (*Ticket, error) {
		if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), s.row.Reservations, 0); err != nil {
			return nil, dispatchError(err, s)
		}
		ticket, err := q.insertAndDeliver(ctx, tx, s)
		return ticket, dispatchError(err, s)
	})
}

// dispatched is the result of one dispatch in a batch.
type dispatched struct {
	taskdb.InsertedTask
	busy bool // another transaction has a lock: nothing was written
}

// initDispatches makes dispatches at the same time share a transaction.
func (q *Queue) initDispatches() {
	q.dispatches.Limit = taskdb.ManyLocks
	q.dispatches.Weight = func(s *spec) int { return max(1, len(s.row.Reservations)) }
	q.dispatches.Write = q.writeDispatches
	q.dispatches.IsItemError = func(err error) bool {
		return sqldialect.IsDataError(err) || sqldialect.IsUniqueViolation(err) || errors.Is(err, pulperr.NotFound) ||
			errors.Is(err, errFenced)
	}
}

// writeDispatches stores a batch of tasks in one transaction, except those that are busy.
func (q *Queue) writeDispatches(ctx context.Context, list []*spec) ([]dispatched, error) {
	q.tel.batch(ctx, batchDispatch, len(list))
	out := make([]dispatched, len(list))
	lists := make([][]taskdb.Reservation, len(list))
	for i, s := range list {
		lists[i] = s.row.Reservations
	}
	busy, err := taskdb.BatchTx(ctx, q.db, lists, func(ctx context.Context, c taskdb.Conn, free []int) error {
		some := make([]*spec, len(free))
		scopes := make([]*models.TaskScope, len(free))
		for i, at := range free {
			some[i], scopes[i] = list[at], list[at].db.Task()
		}
		done, err := q.insert(ctx, c, some)
		if err != nil {
			return err
		}
		for i, at := range free {
			out[at].InsertedTask = done[i]
		}
		q.at("dispatch.before_commit")
		return asFenced(taskdb.FenceAll(ctx, c, scopes))
	})
	if err == nil {
		q.at("dispatch.committed")
	}
	for i := range busy {
		if busy[i] {
			out[i] = dispatched{busy: true}
		}
	}
	return out, err
}

// insertAndDeliver stores one task, whose resources are locked, within a transaction and delivers it after the commit.
func (q *Queue) insertAndDeliver(ctx context.Context, tx *models.Tx, s *spec) (*Ticket, error) {
	done, err := q.insert(ctx, taskdb.On(tx.DB), []*spec{s})
	if err != nil {
		return nil, err
	}
	q.at("dispatch.before_commit")
	tx.AfterCommit(func() {
		q.at("dispatch.committed")
		q.deliverInserted(ctx, s, done[0])
	})
	return &Ticket{TaskID: s.row.ID, State: models.TaskState(done[0].State)}, nil
}

func (q *Queue) deliverInserted(ctx context.Context, s *spec, done taskdb.InsertedTask) {
	q.emit(s.event(models.TaskState(done.State))) // before a worker knows of it
	q.tel.dispatched(ctx, s, done)
	if done.Ready && done.State == string(models.Waiting) {
		q.deliver(ctx, taskdb.ReadyTask{ID: s.row.ID, Queue: s.row.Queue, Versions: s.row.Versions})
	}
}

// insert writes tasks and their reservations, whose resources are locked.
func (q *Queue) insert(ctx context.Context, c taskdb.Conn, batch []*spec) ([]taskdb.InsertedTask, error) {
	canceled, err := canceledGroups(ctx, c, batch)
	if err != nil {
		return nil, err
	}
	rows := make([]*taskdb.NewTask, len(batch))
	for i, s := range batch {
		row := s.row
		reason := "Resources temporarily unavailable."
		if row.Group != nil && canceled[*row.Group] {
			row.Canceled, reason = true, "The task group was canceled."
		}
		text, err := json.Marshal(models.TaskError{Reason: reason})
		if err != nil {
			return nil, err
		}
		row.CancelReason, row.Grace = string(text), q.backlog.redeliveryDelay()
		rows[i] = &row
	}
	return taskdb.InsertTasks(ctx, c, rows)
}

// canceledGroups tells of each group into which tasks are dispatched whether it was canceled, and keeps it so until the
// transaction ends.
func canceledGroups(ctx context.Context, c taskdb.Conn, batch []*spec) (map[uuid.UUID]bool, error) {
	domains := map[uuid.UUID]uuid.UUID{}
	for _, s := range batch {
		if s.row.Group != nil {
			domains[*s.row.Group] = s.row.DomainID
		}
	}
	if len(domains) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID       uuid.UUID `bun:"pulp_id"`
		Domain   uuid.UUID `bun:"pulp_domain_id"`
		Canceled bool      `bun:"canceled"`
	}
	err := c.NewRaw(`SELECT pulp_id, pulp_domain_id, canceled_at IS NOT NULL AS canceled FROM core_taskgroup
		WHERE pulp_id IN (?) ORDER BY pulp_id ?`, bun.List(slices.Collect(maps.Keys(domains))),
		c.ForShare()).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	canceled := map[uuid.UUID]bool{}
	for _, row := range rows {
		canceled[row.ID] = row.Canceled
		if domains[row.ID] == row.Domain {
			delete(domains, row.ID)
		}
	}
	for id := range domains {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task group %s", id)
	}
	return canceled, nil
}

func dispatchError(err error, s *spec) error {
	if sqldialect.IsUniqueViolation(err) && s.row.IdempotencyKey != nil {
		return pulperr.Public(pulperr.Exists, "an unfinished task has the idempotency key %q", *s.row.IdempotencyKey)
	}
	return taskdb.Wrap(err, "dispatch %s", s.row.Name)
}
