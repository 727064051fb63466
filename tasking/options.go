package tasking

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// DispatchOptions refine one dispatch. The zero value of each field is its default.
type DispatchOptions struct {
	Group *group.Group // the task becomes a member; a task of a canceled group is stored as canceled

	Exclusive []Resource // reserved besides those of the arguments' Resources method
	Shared    []Resource

	// Mode selects the executor of the task: a worker, or the dispatching process. Default: Deferred.
	Mode Mode

	// MaxAttempts is how often the task is started at most: if it fails, by an error, a panic or a timeout, or its worker
	// dies, it runs again, in its place in the order and with its reservations, after a pause that grows from a second to
	// a minute. Errors of the kinds Invalid, NotFound and Unsupported are final at once, unless they are wrapped in
	// [Retry]. Default 0: once, unless its function asks for more with [Retry], and then ten times.
	MaxAttempts int
	// Versions are the least versions of plugins, by name, that a worker must have to execute the task. Workers without
	// leave it to others. Default: of the task's own plugin, the version that [QueueOptions].Versions has.
	//
	// Versions are numbers with dots between, compared one by one and by value: "1.10" is later than "1.9", "1.0" the
	// same as "1". What follows a number comes before the number alone: "3.81.0rc1" and "3.81.0-dev" before "3.81.0".
	// A "v" in front and whatever is behind a plus do not count.
	Versions map[string]string

	// IdempotencyKey makes a second dispatch with the same key fail with Exists while the first task is unfinished.
	// Keys are per domain, and 255 bytes long at most. Default: none.
	IdempotencyKey string

	User          *int64 // who asked for the task; default: from ctx, see [WithUser]
	CorrelationID string // correlation id; default: from ctx, see [WithCorrelationID]
}

// Mode selects the executor of a task: a worker, or the dispatching process.
type Mode int

// The modes. An immediate task is executed within the dispatching process, in at most 5 s, before Dispatch returns, and
// never a second time, regardless of MaxAttempts and [Retry]. It waits for a worker instead if
//   - an earlier task has or waits for one of its resources;
//   - the dispatch is part of a caller's transaction;
//   - no worker of kind KindWorker or KindAPI runs in the process: not yet, not any more, or without heartbeats;
//   - 4 others are being executed in this way in the process;
//   - [QueueOptions].PreferDefer is set, the setting TASK_PREFER_DEFER, and the mode is PreferImmediate.
const (
	Deferred        Mode = iota // by a worker
	PreferImmediate             // in the dispatch if that is possible, else by a worker
	// ImmediateOnly stores the task as canceled if an earlier task has or waits for one of its resources. For the other
	// reasons it waits for a worker all the same.
	ImmediateOnly
)

// Ticket is the result of a dispatch.
type Ticket struct {
	TaskID uuid.UUID
	// State is Waiting, or Canceled if the task's group was canceled. That of an immediate task may also be the one in
	// which it ended, Canceled in the mode ImmediateOnly, or Running if its function ignores the end of its 5 s.
	State models.TaskState
}

// WithCorrelationID returns a context that carries a correlation id to the tasks dispatched with it and to the log.
func WithCorrelationID(ctx context.Context, cid string) context.Context {
	return engine.WithCorrelationID(ctx, cid)
}

// CorrelationID returns the correlation id of ctx or "".
func CorrelationID(ctx context.Context) string { return engine.CorrelationID(ctx) }

// WithUser returns a context with the user for whom tasks are dispatched.
func WithUser(ctx context.Context, id int64) context.Context { return engine.WithUser(ctx, id) }

// User returns the user of ctx, or false if there is none.
func User(ctx context.Context) (int64, bool) { return engine.User(ctx) }

// TaskID returns the id of the task that runs with ctx, or false outside of tasks.
func TaskID(ctx context.Context) (uuid.UUID, bool) { return engine.TaskID(ctx) }
