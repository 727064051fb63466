// Package liveness finds out from heartbeats which workers are dead.
package liveness

import (
	"time"

	"github.com/google/uuid"
)

// Observer holds the heartbeats of others as a process has seen them. Expiry is measured by observation on the
// process's own clock, and not by timestamps: one pause between two polls counts for a quarter of the limit at most. A
// process that slept, a suspended machine or a stalled database therefore expires no worker that had no chance to
// write. Its zero value is ready for use by one goroutine.
type Observer struct {
	seen  map[uuid.UUID]observation
	polls int
	ended time.Time     // when the last poll was over
	gap   time.Duration // between that and the begin of the present one
}

// observation is a heartbeat that does not change.
type observation struct {
	beat  int64
	still time.Duration // for how long it was seen not to change
	poll  int           // the last one that saw it
}

// NoHeartbeat stands for the heartbeat of an owner that has none.
const NoHeartbeat = -1

// Begin begins a poll of all heartbeats.
func (o *Observer) Begin() {
	o.polls++
	o.gap = time.Since(o.ended)
}

// End ends the poll and forgets the owners that it did not see.
func (o *Observer) End() {
	o.ended = time.Now()
	for id, was := range o.seen {
		if was.poll != o.polls {
			delete(o.seen, id)
		}
	}
}

// Expired notes the heartbeat of an owner and reports whether it has not changed for limit. The time that a poll takes
// does not count.
func (o *Observer) Expired(id uuid.UUID, beat int64, limit time.Duration) bool {
	was, ok := o.seen[id]
	now := observation{beat: beat, poll: o.polls}
	same := ok && was.beat == beat
	if same {
		// The bound makes at least four polls necessary. A process that was suspended sees two polls with a long pause
		// between them, and the heartbeats of workers that had no chance to write.
		now.still = was.still + min(o.gap, limit/4)
	}
	if o.seen == nil {
		o.seen = map[uuid.UUID]observation{}
	}
	o.seen[id] = now
	return same && now.still >= limit
}
