package worker

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	// retryLimit is how often a task is started at most if its function asks for another attempt and its dispatch set no
	// limit.
	retryLimit = 10
	// retryMax is the longest pause: the task keeps its reservations meanwhile.
	retryMax = time.Minute
)

// retryPause returns how long a task that failed with err waits for its next attempt, or nil if it has none.
func retryPause(c *taskdb.Claimed, err error) *time.Duration {
	asked, asks := errors.AsType[*engine.RetryError](err)
	limit := c.MaxAttempts
	if limit == 0 && asks {
		limit = retryLimit
	}
	// The caller of an immediate task has its result when Dispatch returns, so the task never runs again.
	if c.Attempt >= limit || c.Immediate {
		return nil
	}
	if asks {
		return new(min(max(asked.Pause, 0), retryMax))
	}
	// Errors of these kinds have their cause in the arguments or the code: another attempt would fail in the same way.
	for _, final := range []pulperr.Kind{pulperr.Invalid, pulperr.NotFound, pulperr.Unsupported} {
		if errors.Is(err, final) {
			return nil
		}
	}
	return new(backoff(c.Attempt))
}

// backoff is the pause after an attempt: twice as long each time, a little more or less by chance.
func backoff(attempt int) time.Duration {
	// The bound of the shift keeps the Duration from overflowing.
	pause := min(time.Second<<min(attempt-1, 10), retryMax)
	// Tasks that failed at the same time, because an upstream was down, do not all begin again at the same time.
	return pause - rand.N(pause/5)
}
