package tasking

import (
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// Causes of the end of a task's context, for errors.Is with its [context.Cause].
var (
	// ErrCanceled is the cause if a user canceled the task.
	ErrCanceled = engine.ErrCanceled
	// ErrShutdown is the cause if the worker ends and its grace period is over.
	ErrShutdown = engine.ErrShutdown
	// ErrLost is the cause if the task is not the worker's any more, or may not be, because the worker could not write its
	// heartbeat. Transactions that a task makes with [Env].DB fail with it too, once the task is not its worker's, and
	// after [Env.CompleteTx].
	ErrLost = engine.ErrLost
	// ErrTimeout is the cause if the task took longer than its binding allows, or than the 5 s of an immediate one.
	ErrTimeout = engine.ErrTimeout
)

// Retry returns an error that makes the task which returns it run again after a pause, which is cut to a minute, in its
// place in the order and with its reservations, whatever the kind of err. It fails with err if it has been started
// [DispatchOptions].MaxAttempts times, which is ten for a dispatch without a limit, and if it is immediate. Its
// progress reports of this attempt stay, as failed.
func Retry(err error, pause time.Duration) error { return &engine.RetryError{Err: err, Pause: pause} }
