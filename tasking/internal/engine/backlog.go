package engine

import (
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Backlog is how many tasks were ready when the relay counted last.
type Backlog struct{ n atomic.Int64 }

// Load returns the number.
func (b *Backlog) Load() int64 { return b.n.Load() }

// Store sets the number.
func (b *Backlog) Store(n int64) { b.n.Store(n) }

// Halve lets an old count fade. It is taken only while tasks are due: after a peak none may be, and the delay of
// redelivery would stay long.
func (b *Backlog) Halve() {
	n := b.n.Load()
	b.n.CompareAndSwap(n, n/2)
}

// maxDelay is how long after a grant an announcement counts as lost at most, however many tasks are on their way.
const maxDelay = time.Minute

// RedeliveryDelay is how long after a grant the announcement of a task counts as lost. It is longer with more tasks on
// their way, because busy workers take them later.
func (b *Backlog) RedeliveryDelay() time.Duration {
	return min(taskdb.DeliveryGrace+time.Duration(b.Load())*time.Millisecond, maxDelay)
}
