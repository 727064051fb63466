package transport

import (
	"sync/atomic"
	"time"
)

// retryAfter is how long callers leave a Redis alone that did not answer.
const retryAfter = time.Second

// health is whether Redis answers. Its zero value says that it does.
type health struct {
	downSince  atomic.Int64 // unix nanoseconds of the first failure since Redis last answered; 0 is fine
	lastFailed atomic.Int64 // unix nanoseconds of the latest one
}

func (h *health) failed() {
	now := time.Now().UnixNano()
	h.lastFailed.Store(now)
	h.downSince.CompareAndSwap(0, now)
}

func (h *health) answered() { h.downSince.Store(0) }

// failedJustNow reports whether Redis failed so recently that a caller need not find out again.
func (h *health) failedJustNow() bool {
	return h.downSince.Load() != 0 && time.Since(time.Unix(0, h.lastFailed.Load())) < retryAfter
}

// down returns how long Redis has not answered.
func (h *health) down() time.Duration {
	since := h.downSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}
