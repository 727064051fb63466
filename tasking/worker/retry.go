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
	// retryLimit is how often a task is started at most whose function asks for it and whose dispatch did not say.
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
	if c.Attempt >= limit || c.Immediate {
		return nil
	}
	if asks {
		return new(min(max(asked.Pause, 0), retryMax))
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
