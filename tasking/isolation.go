package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// A task in a process of its own: the worker keeps the claim, the heartbeat, the reservations and the end; the process
// runs the function, under the same claim, and reports its outcome on a pipe.

// reportFD is the file descriptor on which the process reports.
const reportFD = 3

// request is the first thing that the process reads from its standard input. Orders follow.
type request struct {
	Task        uuid.UUID     `json:"task"`
	Claim       uuid.UUID     `json:"claim"`
	WorkDir     string        `json:"work_dir"`
	CancelGrace time.Duration `json:"cancel_grace"`    // see WorkerOptions; then the process sends the task's stacks
	Trace       *string       `json:"trace,omitempty"` // of the attempt, in which the process goes on
}

// order tells the process to stop.
type order struct {
	Stop string `json:"stop"` // see orderOf
}

// message is one report of the process.
type message struct {
	Stuck   string        `json:"stuck,omitempty"` // stacks of a task that does not stop
	Outcome *childOutcome `json:"outcome,omitempty"`
	fault   string        // why the report cannot be read on, in words for clients; set by the reader
}

// childOutcome is what the function returned.
type childOutcome struct {
	Result json.RawMessage `json:"result,omitempty"`
	Err    *remoteError    `json:"error,omitempty"`
}

// remoteError is an error of another process.
type remoteError struct {
	Text   string       `json:"text"` // for the log
	Public string       `json:"public"`
	Code   string       `json:"code,omitempty"`
	Kind   pulperr.Kind `json:"kind"`
	Stack  string       `json:"stack,omitempty"` // of a panic
	// Retry is the pause after which the function asks to be called again.
	Retry *time.Duration `json:"retry,omitempty"`
}

func newRemoteError(err error) *remoteError {
	e := &remoteError{
		Text: err.Error(), Public: pulperr.Message(err), Code: pulperr.Code(err), Kind: pulperr.KindOf(err),
	}
	if p, ok := errors.AsType[*panicError](err); ok {
		e.Text, e.Stack = fmt.Sprintf("panic: %v", p.value), string(p.stack)
	}
	if again, ok := errors.AsType[*retryError](err); ok {
		e.Retry = &again.pause
	}
	return e
}

func (e *remoteError) Error() string {
	if e.Stack == "" {
		return e.Text
	}
	return e.Text + "\n" + e.Stack
}

func (e *remoteError) PublicText() string { return e.Public }
func (e *remoteError) ErrorCode() string  { return e.Code }

func (e *remoteError) Unwrap() []error {
	errs := []error{e.Kind}
	if e.Stack != "" {
		errs = append(errs, &panicError{e.Text, []byte(e.Stack)})
	}
	if e.Retry != nil {
		errs = append(errs, &retryError{e.Kind, *e.Retry})
	}
	return errs
}

// deathError says that the process ended before the function did.
type deathError struct {
	reason string // for clients
	tail   string // the last that it wrote
}

func (e *deathError) Error() string {
	if e.tail == "" {
		return e.reason
	}
	return e.reason + " Its last output:\n" + e.tail
}

// The causes of a task's end as they travel to its process.
const (
	stopCanceled = "canceled"
	stopShutdown = "shutdown"
	stopLost     = "lost"
	stopFenced   = "fenced"
	stopTimeout  = "timeout"
)

func orderOf(cause error) order {
	for _, name := range []string{stopCanceled, stopShutdown, stopFenced, stopLost} { // the fenced ones are lost too
		if errors.Is(cause, (order{name}).cause()) {
			return order{name}
		}
	}
	return order{stopTimeout}
}

func (o order) cause() error {
	switch o.Stop {
	case stopCanceled:
		return ErrCanceled
	case stopShutdown:
		return ErrShutdown
	case stopLost:
		return ErrLost
	case stopFenced:
		return errFenced
	}
	return ErrTimeout
}

// isolate executes a task in a process of its own and returns when that has ended.
func (e *executor) isolate(a *attempt) (json.RawMessage, error) {
	dir, err := a.dir.open()
	if err != nil {
		return nil, err
	}
	t := a.task
	p, err := startProcess(a.log, e.opts.Command(),
		request{t.ID, t.ClaimID, dir.Name(), e.opts.CancelGrace, traceOf(a.ctx)})
	if err != nil {
		return nil, fmt.Errorf("tasking: process of task %s: %w: %w", t.ID, pulperr.Unavailable, err)
	}
	end := p.wait(a.ctx, e.opts.CancelGrace)
	if end.stuck != "" {
		a.log.Error("task was told to stop and did not; its process was killed", "goroutines", end.stuck)
	}
	if death, ok := errors.AsType[*deathError](end.err); ok && end.killed {
		te := &models.TaskError{Reason: death.reason}
		if end.stuck != "" {
			te.Traceback = &end.stuck
		}
		e.setError(a, te)
	}
	e.readReserved(a)
	return end.result, end.err
}

// readReserved reads what the process reserved for the task, so that its end releases it.
func (e *executor) readReserved(a *attempt) {
	ctx := context.WithoutCancel(a.ctx)
	var now *taskdb.Claimed
	err := retryUntil(e.session.abandon, func(error) bool { return false }, func(err error) {
		a.log.WarnContext(ctx, "the reservations of a task are read later", "err", err)
	}, func() (err error) {
		now, err = taskdb.ReadClaim(ctx, taskdb.On(e.q.db), a.task.ID, a.task.ClaimID)
		return err
	})
	if err != nil || now == nil {
		return
	}
	own := a.reservedNames()
	a.addReserved(slices.DeleteFunc(now.ReservedResources, func(name string) bool {
		return slices.Contains(own, name)
	})...)
}
