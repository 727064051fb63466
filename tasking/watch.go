package tasking

import (
	"time"

	"github.com/google/uuid"
)

// watch is what a worker has seen of the others, on its own clock.
type watch struct {
	seen  map[uuid.UUID]observation // by worker; by task of those that are shown as its own
	looks int
	ended time.Time     // when the last look was over
	gap   time.Duration // between that and the begin of the present one
}

// observation is a heartbeat that does not change.
type observation struct {
	beat  int64
	still time.Duration // how long it was seen not to
	look  int           // the last one that saw it
}

// noBeat is what an observation has of somebody without a heartbeat.
const noBeat = -1

func newWatch() watch { return watch{seen: map[uuid.UUID]observation{}} }

// begin begins a look at everybody.
func (o *watch) begin() {
	o.looks++
	o.gap = time.Since(o.ended)
}

// end ends it and forgets who was not seen.
func (o *watch) end() {
	o.ended = time.Now()
	for id, was := range o.seen {
		if was.look != o.looks {
			delete(o.seen, id)
		}
	}
}

// still notes a heartbeat and reports whether it was seen to stand still for limit. The time between two looks counts
// for a quarter of limit at most: if it was longer, this process slept, or the machine or the database did, and then
// the others had no chance to go on either. Nor does the time count that a look took.
func (o *watch) still(id uuid.UUID, beat int64, limit time.Duration) bool {
	was, ok := o.seen[id]
	now := observation{beat: beat, look: o.looks}
	same := ok && was.beat == beat
	if same {
		now.still = was.still + min(o.gap, limit/4)
	}
	o.seen[id] = now
	return same && now.still >= limit
}
