package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Causes of the end of a task's context. Package tasking documents the first four for plugins.
var (
	ErrCanceled = fmt.Errorf("tasking: the task was canceled: %w", pulperr.Canceled)
	ErrShutdown = fmt.Errorf("tasking: the worker shuts down: %w", pulperr.Unavailable)
	ErrLost     = fmt.Errorf("tasking: the worker lost its claim on the task: %w", pulperr.Unavailable)
	ErrTimeout  = fmt.Errorf("tasking: the task took too long: %w", pulperr.Unavailable)

	// ErrFenced is ErrLost where it is certain: the task was taken away, and no end of it can be stored.
	ErrFenced = fmt.Errorf("tasking: the task was taken from this worker: %w: %w", ErrLost, taskdb.ErrNotClaimed)
	// ErrImmediateTimeout is ErrTimeout of an immediate task, in the words that clients read.
	ErrImmediateTimeout = fmt.Errorf("%w: %w", ErrTimeout, pulperr.Coded("PLP0024", pulperr.Unavailable,
		"The immediate task timed out after %d seconds.", int(ImmediateTimeout.Seconds())))
)

// ImmediateTimeout is how long an immediate task may take.
const ImmediateTimeout = 5 * time.Second

// ShutdownGrace is how long tasks may go on after their contexts have ended with ErrShutdown.
const ShutdownGrace = 10 * time.Second

// AsFenced turns the database's answer that a claim is not valid into the error that tasks see.
func AsFenced(err error) error {
	if errors.Is(err, taskdb.ErrNotClaimed) {
		return ErrFenced
	}
	return err
}

// RetryError is what a function returns to be called again after a pause.
type RetryError struct {
	Err   error
	Pause time.Duration
}

// Error implements error.
func (e *RetryError) Error() string { return fmt.Sprintf("%v (again after %s)", e.Err, e.Pause) }

// Unwrap returns what made the attempt fail.
func (e *RetryError) Unwrap() error { return e.Err }

// MaxJSON is how many bytes the arguments of a task and its result may have, each as JSON.
const MaxJSON = 16 << 20

// CheckResult fails if the result of a task is too large to be stored.
func CheckResult(name string, result []byte) error {
	if len(result) <= MaxJSON {
		return nil
	}
	return pulperr.Public(pulperr.Invalid,
		"the result of task %q has %d bytes and may have %d; store what is large and name it", name, len(result), MaxJSON)
}
