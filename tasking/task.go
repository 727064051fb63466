package tasking

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// Task ties a name to the type of its arguments. It is immutable, so it can be a package variable that two Apps share;
// the function comes later, with [Task.Bind], so that a task may dispatch itself.
type Task[A any] struct {
	name string
}

// Define declares the task named "<plugin>.<task>", in 255 bytes at most. A task that Pulp has, too, may have its name
// there, "pulp_<plugin>.app.tasks.…", by which clients look for it. Its arguments are stored as JSON, so A must survive
// encoding/json; it may implement [ResourceUser] to name the resources of the task. They are encrypted with the key of
// the database, if it has one; results, errors and names of resources are not. Define never fails; the worker reports
// faults.
func Define[A any](name string) *Task[A] { return &Task[A]{name: name} }

// Name returns the name given to [Define].
func (t *Task[A]) Name() string { return t.name }

// Bind ties the task to the function that executes it. The error decides the task's outcome: nil is completed, anything
// else failed, and whatever is returned after a cancellation canceled. Clients see [pulperr.Message] of the error, the
// log all of it.
//
// ctx is done when the task is canceled, takes too long, when the worker loses it or its time to shut down is over;
// [context.Cause] returns the reason, see [ErrCanceled] and the others. A function that returns nil all the same,
// although it took too long or the worker shuts down, has completed: it has done its work, if late. The reservations
// are held until fn returns. See [Binding.With] for a time limit and a process of its own.
func (t *Task[A]) Bind(fn func(ctx context.Context, env *Env, args A) error) Binding {
	noResult := func(ctx context.Context, env *Env, args A) (any, error) { return nil, fn(ctx, env, args) }
	return t.BindResult(noResult)
}

// BindResult is [Task.Bind] for a function with a result, which is stored as JSON with the task; nil stores none. The
// task fails if the result has more than 16 MiB.
func (t *Task[A]) BindResult(fn func(ctx context.Context, env *Env, args A) (any, error)) Binding {
	run := func(ctx context.Context, a *attempt.Attempt, raw []byte) (json.RawMessage, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("tasking: arguments of %s: %w", t.name, err)
		}
		result, err := fn(ctx, newEnv(a), args)
		if err != nil || result == nil {
			return nil, err
		}
		out, err := json.Marshal(result)
		if err != nil {
			return nil, fmt.Errorf("tasking: result of %s: %w", t.name, err)
		}
		return out, nil
	}
	return Binding{attempt.Function{Name: t.name, Args: reflect.TypeFor[*A](), Run: run}}
}

// Dispatch stores the task and returns; a worker executes it as soon as no task that was dispatched earlier holds or
// waits for one of its resources. A nil opts is the default.
//
// Correlation id, user and parent task are taken from ctx, see [WithCorrelationID] and [WithUser]. With a [Mode] other
// than Deferred the task may have ended when Dispatch returns.
//
// With a queue that belongs to a transaction, see [Queue.In], the task exists if and when the transaction commits:
//
//	ticket, err := Sync.Dispatch(ctx, q.In(tx.DB), args, nil)
//
// Make that the last thing in the transaction, because it locks the task's resources against other dispatches until the
// commit. The task is never executed at once then; after an error the transaction must be rolled back.
//
// Errors: Invalid for arguments or resources that cannot be stored, such as arguments of more than 16 MiB; Exists if an
// unfinished task has the same idempotency key; Locked if the resources' rows stayed locked for 5 s; Unavailable.
func (t *Task[A]) Dispatch(ctx context.Context, q *Queue, args A, opts *DispatchOptions) (*Ticket, error) {
	if opts == nil {
		opts = &DispatchOptions{}
	}
	s, err := t.Spec(ctx, q, args, opts)
	if err != nil {
		return nil, err
	}
	state, err := q.core.Dispatch(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Ticket{TaskID: s.Row.ID, State: state}, nil
}

// DispatchGroup dispatches a task for each of several arguments as a complete group with one progress report, all of
// them or none. A report without a Total has the number of tasks; their function increments it by Env.Group.Progress.
//
// Errors: those of Dispatch.
func (t *Task[A]) DispatchGroup(
	ctx context.Context, q *Queue, description string, args []A, report group.Report,
) (*group.Group, error) {
	if report.Total == 0 {
		report.Total = int64(len(args))
	}
	var id uuid.UUID
	err := q.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		inside := q.In(tx.DB)
		g, err := inside.NewGroup(ctx, description, report)
		if err != nil {
			return err
		}
		id = g.ID
		for _, a := range args {
			if _, err := t.Dispatch(ctx, inside, a, &DispatchOptions{Group: g}); err != nil {
				return err
			}
		}
		return g.Finish(ctx)
	})
	if err != nil {
		return nil, err
	}
	return group.Of(q.core, q.db, id), nil // not bound to the transaction
}

// Spec returns the task with its arguments as package schedule stores it. It has no use outside of the task engine.
//
// Errors: Invalid for arguments or resources that cannot be stored.
func (t *Task[A]) Spec(ctx context.Context, q *Queue, args A, opts *DispatchOptions) (*engine.Spec, error) {
	if opts.Mode < Deferred || opts.Mode > ImmediateOnly {
		return nil, pulperr.Public(pulperr.Invalid, "task %q: there is no mode %d", t.name, opts.Mode)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("tasking: arguments of %s: %w: %w", t.name, pulperr.Invalid, err)
	}
	names, err := resourceNames(q.db, args, Resources{Exclusive: opts.Exclusive, Shared: opts.Shared})
	if err != nil {
		return nil, err
	}
	o := &engine.SpecOptions{
		Name: t.name, Raw: raw, Resources: names, Immediate: opts.Mode != Deferred, Deferred: opts.Mode != ImmediateOnly,
		MaxAttempts: opts.MaxAttempts, Versions: opts.Versions, IdempotencyKey: opts.IdempotencyKey, User: opts.User,
		CorrelationID: opts.CorrelationID,
	}
	if opts.Group != nil {
		o.Group = &opts.Group.ID
	}
	return q.core.NewSpec(ctx, q.db, o)
}

// Binding is a task together with its function, for the options of a worker.
type Binding struct{ function attempt.Function }

// BindingOptions refine the execution of a task. The zero value of each field is its default.
type BindingOptions struct {
	// Timeout is how long the function may take; then its context ends with [ErrTimeout], and the task fails, unless the
	// function still returns nil: it has done its work, if late. Default 0: without limit. It does not apply to immediate
	// tasks, which have 5 s.
	Timeout time.Duration
	// Subprocess executes the function in a process of its own, made by the command of the worker's options, which is
	// killed if it does not stop after the end of its context, and which may crash without harm to the worker.
	Subprocess bool
}

// With returns the binding with options, which replace its former ones.
func (b Binding) With(opts BindingOptions) Binding {
	b.function.Timeout, b.function.Subprocess = opts.Timeout, opts.Subprocess
	return b
}

// Name returns the name of the task.
func (b Binding) Name() string { return b.function.Name }

// Function returns what package worker executes. It has no use outside of the task engine.
func (b Binding) Function() attempt.Function { return b.function }
