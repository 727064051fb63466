// Package subprocess runs a task in a process of its own. The worker keeps the claim, the heartbeat, the reservations
// and the end; the process runs the function under the same claim and reports its outcome on a pipe. The package has
// the protocol between the two, the worker's side of it, and process groups.
package subprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// reportFD is the file descriptor on which the process reports.
const reportFD = 3

// Request is the first thing that the process reads from its standard input. Orders follow.
type Request struct {
	Task        uuid.UUID     `json:"task"`
	Claim       uuid.UUID     `json:"claim"`
	WorkDir     string        `json:"work_dir"`
	CancelGrace time.Duration `json:"cancel_grace"`    // see worker.Options; then the process sends the task's stacks
	Trace       *string       `json:"trace,omitempty"` // of the attempt, in which the process goes on
}

// Order is the order to stop.
type Order struct {
	Stop string `json:"stop"` // see OrderOf
}

// Message is one report of the process.
type Message struct {
	Stuck   string   `json:"stuck,omitempty"` // stacks of a task that does not stop
	Outcome *Outcome `json:"outcome,omitempty"`
	fault   string   // why the report cannot be read on, in words for clients; set by the reader
}

// Outcome is what the function returned.
type Outcome struct {
	Result json.RawMessage `json:"result,omitempty"`
	Err    *RemoteError    `json:"error,omitempty"`
}

// RemoteError is an error of another process.
type RemoteError struct {
	Text   string       `json:"text"` // for the log
	Public string       `json:"public"`
	Code   string       `json:"code,omitempty"`
	Kind   pulperr.Kind `json:"kind"`
	Stack  string       `json:"stack,omitempty"` // of a panic
	// Retry is the pause after which the function asks to be called again.
	Retry *time.Duration `json:"retry,omitempty"`
}

// NewRemoteError returns err as the process reports it.
func NewRemoteError(err error) *RemoteError {
	e := &RemoteError{
		Text: err.Error(), Public: pulperr.Message(err), Code: pulperr.Code(err), Kind: pulperr.KindOf(err),
	}
	if p, ok := errors.AsType[*attempt.PanicError](err); ok {
		e.Text, e.Stack = fmt.Sprintf("panic: %v", p.Value), string(p.Stack)
	}
	if again, ok := errors.AsType[*engine.RetryError](err); ok {
		e.Retry = &again.Pause
	}
	return e
}

// Error implements error.
func (e *RemoteError) Error() string {
	if e.Stack == "" {
		return e.Text
	}
	return e.Text + "\n" + e.Stack
}

// PublicText is what clients see, see package pulperr.
func (e *RemoteError) PublicText() string { return e.Public }

// ErrorCode is the code that clients see, see package pulperr.
func (e *RemoteError) ErrorCode() string { return e.Code }

// Unwrap returns the kind of the error and what it was in the process.
func (e *RemoteError) Unwrap() []error {
	errs := []error{e.Kind}
	if e.Stack != "" {
		errs = append(errs, &attempt.PanicError{Value: e.Text, Stack: []byte(e.Stack)})
	}
	if e.Retry != nil {
		errs = append(errs, &engine.RetryError{Err: e.Kind, Pause: *e.Retry})
	}
	return errs
}

// DeathError is the error of a process that ended before its function returned.
type DeathError struct {
	Reason string // for clients
	tail   string // the last that it wrote
}

// Error implements error.
func (e *DeathError) Error() string {
	if e.tail == "" {
		return e.Reason
	}
	return e.Reason + " Its last output:\n" + e.tail
}

// The causes of a task's end as they travel to its process.
const (
	stopCanceled = "canceled"
	stopShutdown = "shutdown"
	stopLost     = "lost"
	stopFenced   = "fenced"
	stopTimeout  = "timeout"
)

// OrderOf returns the order to stop because of cause, the cause of the end of an attempt's context.
func OrderOf(cause error) Order {
	for _, name := range []string{stopCanceled, stopShutdown, stopFenced, stopLost} { // the fenced ones are lost too
		if errors.Is(cause, (Order{name}).Cause()) {
			return Order{name}
		}
	}
	return Order{stopTimeout}
}

// Cause is the reverse of [OrderOf].
func (o Order) Cause() error {
	switch o.Stop {
	case stopCanceled:
		return engine.ErrCanceled
	case stopShutdown:
		return engine.ErrShutdown
	case stopLost:
		return engine.ErrLost
	case stopFenced:
		return engine.ErrFenced
	}
	return engine.ErrTimeout
}
