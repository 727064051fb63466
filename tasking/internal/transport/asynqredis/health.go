package asynqredis

import (
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// health knows whether Redis answers. Its zero value is that of a Redis that does.
type health struct {
	downSince  atomic.Int64 // unix nanoseconds of the first failure since Redis last answered; 0 if it answers
	lastFailed atomic.Int64 // unix nanoseconds of the latest failure
}

func (h *health) failed() {
	now := time.Now().UnixNano()
	h.lastFailed.Store(now)
	h.downSince.CompareAndSwap(0, now)
}

func (h *health) answered() { h.downSince.Store(0) }

// failedJustNow reports whether Redis failed so recently that a call need not try it.
func (h *health) failedJustNow() bool {
	return h.downSince.Load() != 0 && time.Since(time.Unix(0, h.lastFailed.Load())) < transport.RetryAfter
}

// down returns for how long Redis has not answered.
func (h *health) down() time.Duration {
	since := h.downSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}
