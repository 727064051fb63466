package engine

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Spec is a task that is ready to be stored.
type Spec struct {
	DB  *models.DB // whose task dispatches it, if any
	Row taskdb.NewTask
	Raw []byte // the arguments in the clear, for execution in this process
}

// SpecOptions are the properties of a new task.
type SpecOptions struct {
	Name      string
	Raw       []byte // the arguments as JSON
	Resources []string

	Immediate      bool
	Deferred       bool // it waits for a worker if it cannot be executed at once
	MaxAttempts    int
	Versions       map[string]string
	IdempotencyKey string
	Group          *uuid.UUID
	User           *int64
	CorrelationID  string
}

// MaxName is the longest name of a task, a schedule and of an idempotency key, in bytes.
const MaxName = 255

func (o *SpecOptions) check() error {
	switch {
	case o.MaxAttempts < 0:
		return pulperr.Public(pulperr.Invalid, "task %q: MaxAttempts is %d; use 0 or more", o.Name, o.MaxAttempts)
	case len(o.Raw) > MaxJSON:
		return pulperr.Public(pulperr.Invalid, "the arguments of task %q have %d bytes and may have %d; store what is "+
			"large and name it", o.Name, len(o.Raw), MaxJSON)
	case o.Name == "" || len(o.Name) > MaxName || len(o.IdempotencyKey) > MaxName,
		models.HasNUL(o.Name + o.IdempotencyKey + o.CorrelationID):
		return pulperr.Public(pulperr.Invalid,
			"task %q: a task needs a name; name and idempotency key have %d bytes at most "+
				"and, like the correlation id, no NUL", o.Name, MaxName)
	}
	return nil
}

// NewSpec returns a task in the domain of db. User, correlation id and parent task are those of ctx unless o has
// others.
//
// Errors: Invalid for what cannot be stored.
func (d *Dispatcher) NewSpec(ctx context.Context, db *models.DB, o *SpecOptions) (*Spec, error) {
	domain := db.Domain()
	if domain == nil {
		return nil, fmt.Errorf("tasking: dispatch %s: the queue's database handle has no domain, see Queue.In: %w", o.Name,
			pulperr.Invalid)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	versions, err := d.versions.requirements(o.Name, o.Versions)
	if err != nil {
		return nil, err
	}
	id := models.NewID()
	sealed, err := SealArgs(db, TaskTable, id, o.Raw)
	if err != nil {
		return nil, fmt.Errorf("tasking: dispatch %s: %w", o.Name, err)
	}
	s := &Spec{DB: db, Raw: o.Raw, Row: taskdb.NewTask{
		ID: id, DomainID: domain.ID, Name: o.Name, CID: o.CorrelationID, UserID: o.User, Args: sealed,
		Resources: o.Resources, Reservations: taskdb.ReservationsOf(o.Resources), Group: o.Group,
		Immediate: o.Immediate, Deferred: o.Deferred, Queue: DefaultQueue, MaxAttempts: o.MaxAttempts, Versions: versions,
	}}
	if o.Immediate {
		s.Row.Queue = ImmediateQueue
	}
	if s.Row.CID == "" {
		s.Row.CID = CorrelationID(ctx)
	}
	if id, ok := User(ctx); ok && s.Row.UserID == nil {
		s.Row.UserID = &id
	}
	if id, ok := TaskID(ctx); ok {
		s.Row.Parent = &id
	}
	if o.IdempotencyKey != "" {
		s.Row.IdempotencyKey = &o.IdempotencyKey
	}
	return s, nil
}

// event returns the event of the task's dispatch.
func (s *Spec) event(state models.TaskState) event.Event {
	return event.Event{
		Kind: event.TaskChanged, Time: models.Now(), DomainID: s.Row.DomainID, TaskID: s.Row.ID, GroupID: s.Row.Group,
		Name: s.Row.Name, State: state,
	}
}

// DispatchError gives the error of a dispatch its kind.
func (s *Spec) DispatchError(err error) error {
	if sqldialect.IsUniqueViolation(err) && s.Row.IdempotencyKey != nil {
		return pulperr.Public(pulperr.Exists, "an unfinished task has the idempotency key %q", *s.Row.IdempotencyKey)
	}
	return taskdb.Wrap(err, "dispatch %s", s.Row.Name)
}
