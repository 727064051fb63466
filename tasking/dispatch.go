package tasking

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// The queues. Short work has its own, so that it never waits for a sync.
const (
	defaultQueue   = "default"
	immediateQueue = "immediate"
)

// spec is a task that is ready to be stored.
type spec struct {
	row sqldialect.NewTask
	raw []byte // the arguments in the clear, for execution in this process
}

// maxName is the longest name of a task and of an idempotency key, in bytes.
const maxName = 255

func (q *Queue) newSpec(ctx context.Context, name string, raw []byte, locks Locks, o *Options) (*spec, error) {
	domain := q.db.Domain()
	switch {
	case domain == nil:
		return nil, fmt.Errorf("tasking: dispatch %s: the queue's database handle has no domain: %w", name, pulperr.Invalid)
	case name == "" || len(name) > maxName || len(o.IdempotencyKey) > maxName,
		models.HasNUL(name + o.IdempotencyKey + o.CID):
		return nil, pulperr.Public(pulperr.Invalid, "the name or key of task %q is empty, too long or contains a NUL", name)
	}
	names, err := locks.names(q.db.Registry(), models.CorePRN("domain", domain.ID))
	if err != nil {
		return nil, err
	}
	sealed := raw
	if keys := q.db.Keys(); keys != nil {
		if sealed, err = keys.Seal(raw); err != nil {
			return nil, fmt.Errorf("tasking: dispatch %s: %w", name, err)
		}
	}
	s := &spec{raw: raw, row: sqldialect.NewTask{
		ID: models.NewID(), DomainID: domain.ID, Name: name, CID: o.CID, UserID: o.User, Args: sealed,
		Resources: names, Reservations: reservations(names), Immediate: o.Immediate,
		Deferred: !o.Immediate || !o.NotDeferred, Queue: defaultQueue, MaxAttempts: 1, Grace: sqldialect.DeliveryGrace,
	}}
	if o.Immediate {
		s.row.Queue = immediateQueue
	}
	if s.row.CID == "" {
		s.row.CID = CID(ctx)
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

// dispatch stores a task in a transaction of its own and executes it here if it is immediate and nothing is in its way.
func (q *Queue) dispatch(ctx context.Context, s *spec) (*Ticket, error) {
	if s.row.Immediate {
		if w, l, leave := q.enterInline(); w != nil {
			return w.dispatchInline(ctx, q, s, l, leave)
		}
	}
	var ticket *Ticket
	err := q.tx(ctx, func(tx *models.Tx) (err error) {
		ticket, err = q.insertAndDeliver(ctx, tx, s, lockPatience)
		return err
	})
	return ticket, err
}

func (q *Queue) dispatchTx(ctx context.Context, tx *models.Tx, s *spec) (*Ticket, error) {
	return q.insertAndDeliver(ctx, tx, s, 0)
}

func (q *Queue) insertAndDeliver(ctx context.Context, tx *models.Tx, s *spec, patience time.Duration) (*Ticket, error) {
	done, err := q.insert(ctx, tx, s, patience)
	if err != nil {
		return nil, dispatchError(err, s)
	}
	tx.AfterCommit(func() { q.emit(s.event(models.TaskState(done.State))) }) // before a worker knows of it
	if done.Ready && done.State == string(models.Waiting) {
		tx.AfterCommit(func() {
			q.deliver(context.WithoutCancel(ctx), sqldialect.ReadyTask{ID: s.row.ID, Queue: s.row.Queue})
		})
	}
	return &Ticket{TaskID: s.row.ID, State: models.TaskState(done.State)}, nil
}

// insert writes the task and its reservations.
func (q *Queue) insert(
	ctx context.Context, tx *models.Tx, s *spec, patience time.Duration,
) (sqldialect.InsertedTask, error) {
	row := s.row
	reason := models.TaskError{Reason: "Resources temporarily unavailable."}
	if err := q.kind.LockResources(ctx, tx.Bun(), row.Reservations, patience); err != nil {
		return sqldialect.InsertedTask{}, err
	}
	if row.Group != nil {
		canceled, err := groupCanceled(ctx, tx, *row.Group)
		if err != nil {
			return sqldialect.InsertedTask{}, err
		}
		if canceled {
			row.Canceled, reason.Reason = true, "The task group was canceled."
		}
	}
	text, err := json.Marshal(reason)
	if err != nil {
		return sqldialect.InsertedTask{}, err
	}
	row.CancelReason = string(text)
	return q.kind.InsertTask(ctx, tx.Bun(), &row)
}

// groupCanceled reports whether a group was canceled, and keeps it from being so until the transaction ends.
func groupCanceled(ctx context.Context, tx *models.Tx, id uuid.UUID) (bool, error) {
	var canceled []bool
	err := tx.Bun().NewRaw(`SELECT canceled_at IS NOT NULL FROM core_taskgroup WHERE pulp_id = ? AND pulp_domain_id = ? ?`,
		id, tx.Domain().ID, tx.Conn().Kind.ForShare()).Scan(ctx, &canceled)
	if err != nil {
		return false, err
	}
	if len(canceled) == 0 {
		return false, pulperr.Public(pulperr.NotFound, "there is no task group %s", id)
	}
	return canceled[0], nil
}

func dispatchError(err error, s *spec) error {
	if sqldialect.IsUniqueViolation(err) && s.row.IdempotencyKey != nil {
		return pulperr.Public(pulperr.Exists, "an unfinished task has the idempotency key %q", *s.row.IdempotencyKey)
	}
	return wrap(err, "dispatch %s", s.row.Name)
}
