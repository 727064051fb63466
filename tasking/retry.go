package tasking

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	// retryLimit is how often a task is started at most whose function asks for it and whose dispatch did not say.
	retryLimit = 10
	// retryMax is the longest pause: the task keeps its reservations meanwhile.
	retryMax = time.Minute
)

// retryError is what a function returns to be called again.
type retryError struct {
	err   error
	pause time.Duration
}

func (e *retryError) Error() string { return fmt.Sprintf("%v (again after %s)", e.err, e.pause) }

func (e *retryError) Unwrap() error { return e.err }

// Retry returns an error that makes the task which returns it run again after a pause, which is cut to a minute, in its
// place in the order and with its reservations, whatever the kind of err. It fails with err if it has been started
// [DispatchOptions].MaxAttempts times, which is ten for a dispatch that did not say, and if it is immediate. Its
// progress reports of this attempt stay, as failed.
func Retry(err error, pause time.Duration) error { return &retryError{err, pause} }

// retryPause returns how long a task that failed with err waits for its next attempt, or nil if it has none.
func retryPause(c *taskdb.Claimed, err error) *time.Duration {
	asked, asks := errors.AsType[*retryError](err)
	limit := c.MaxAttempts
	if limit == 0 && asks {
		limit = retryLimit
	}
	if c.Attempt >= limit || c.Immediate {
		return nil
	}
	if asks {
		return new(min(max(asked.pause, 0), retryMax))
	}
	for _, final := range []pulperr.Kind{pulperr.Invalid, pulperr.NotFound, pulperr.Unsupported} {
		if errors.Is(err, final) {
			return nil
		}
	}
	return new(backoff(c.Attempt))
}

// backoff is the pause after an attempt: twice as long each time, a little more or less by chance.
func backoff(attempt int) time.Duration {
	pause := min(time.Second<<min(attempt-1, 10), retryMax)
	return pause - rand.N(pause/5)
}
