package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Task ties a name to the type of its arguments. It is immutable, so it can be a package variable that two Apps share;
// the function comes later, with [Task.Bind], so that a task may dispatch itself.
type Task[A any] struct {
	name string
}

// Define declares the task named "<plugin>.<task>", in 255 bytes at most. A task that Pulp has, too, may have its name
// there, "pulp_<plugin>.app.tasks.…", by which clients look for it. Its arguments are stored as JSON, so A must survive
// encoding/json; it may implement [ResourceUser] to say what the task reserves. They are encrypted with the key of the
// database, if it has one; results, errors and names of resources are not. Define never fails; [NewWorker] reports
// faults.
func Define[A any](name string) *Task[A] { return &Task[A]{name: name} }

// Name returns the name given to [Define].
func (t *Task[A]) Name() string { return t.name }

// Bind ties the task to the function that executes it. The error decides the task's outcome: nil is completed, anything
// else failed, and whatever is returned after a cancellation canceled. Clients see [pulperr.Message] of the error, the
// log all of it.
//
// ctx is done when the task is canceled, takes too long, when the worker loses it or its time to shut down is over;
// [context.Cause] tells which, see [ErrCanceled] and the others. A function that returns nil all the same, although it
// took too long or the worker shuts down, has completed: it has done its work, if late. The reservations are held until
// fn returns. At most one [BindingOptions] may be given, nil is allowed.
func (t *Task[A]) Bind(fn func(ctx context.Context, env *Env, args A) error, opts ...*BindingOptions) Binding {
	noResult := func(ctx context.Context, env *Env, args A) (any, error) { return nil, fn(ctx, env, args) }
	return t.BindResult(noResult, opts...)
}

// BindResult is [Task.Bind] for a function with a result, which is stored as JSON with the task; nil stores none. The
// task fails if the result has more than 16 MiB.
func (t *Task[A]) BindResult(
	fn func(ctx context.Context, env *Env, args A) (any, error), opts ...*BindingOptions,
) Binding {
	b := Binding{name: t.name, args: reflect.TypeFor[*A]()}
	b.opts, b.fault = bindingOptions(opts)
	b.run = func(ctx context.Context, env *Env, raw []byte) (json.RawMessage, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("tasking: arguments of %s: %w", t.name, err)
		}
		result, err := fn(ctx, env, args)
		if err != nil || result == nil {
			return nil, err
		}
		out, err := json.Marshal(result)
		if err != nil {
			return nil, fmt.Errorf("tasking: result of %s: %w", t.name, err)
		}
		return out, nil
	}
	return b
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
	s, err := t.spec(ctx, q, args, opts)
	if err != nil {
		return nil, err
	}
	return q.tel.dispatch(ctx, s, func(ctx context.Context) (*Ticket, error) { return q.dispatch(ctx, s) })
}

func (t *Task[A]) spec(ctx context.Context, q *Queue, args A, opts *DispatchOptions) (*spec, error) {
	if opts == nil {
		opts = &DispatchOptions{}
	}
	resources := Resources{Exclusive: opts.Exclusive, Shared: opts.Shared}
	if u, ok := any(args).(ResourceUser); ok {
		resources = resources.and(u.Resources())
	} else if u, ok := any(&args).(ResourceUser); ok {
		resources = resources.and(u.Resources())
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("tasking: arguments of %s: %w: %w", t.name, pulperr.Invalid, err)
	}
	return q.newSpec(ctx, t.name, raw, resources, opts)
}

// Binding is a task together with its function, for [WorkerOptions].
type Binding struct {
	name  string
	opts  BindingOptions
	fault error        // of the options, for NewWorker to report
	args  reflect.Type // a pointer to the arguments
	run   func(ctx context.Context, env *Env, raw []byte) (json.RawMessage, error)
}

// BindingOptions say how a task is executed. The zero value of each field is its default.
type BindingOptions struct {
	// Timeout is how long the function may take; then its context ends with [ErrTimeout], and the task fails, unless the
	// function still returns nil: it has done its work, if late. Default 0: without limit. Immediate tasks have 5 s
	// whatever it says.
	Timeout time.Duration
	// Subprocess executes the function in a process of its own, made by [WorkerOptions].Command, which is killed if it
	// does not stop when it is told to, and which may crash without harm to the worker.
	Subprocess bool
}

func bindingOptions(opts []*BindingOptions) (BindingOptions, error) {
	switch {
	case len(opts) > 1:
		return BindingOptions{}, errors.New("it has more than one BindingOptions; give one")
	case len(opts) == 1 && opts[0] != nil:
		return *opts[0], nil
	}
	return BindingOptions{}, nil
}

// Name returns the name of the task.
func (b Binding) Name() string { return b.name }
