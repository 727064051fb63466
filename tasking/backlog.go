package tasking

import (
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// backlog is how many tasks were ready when the relay counted last.
type backlog struct{ n atomic.Int64 }

func (b *backlog) load() int64   { return b.n.Load() }
func (b *backlog) store(n int64) { b.n.Store(n) }

// halve lets an old count fade. It is taken only while tasks are due: after a peak none may be, and the delay of
// redelivery would stay long.
func (b *backlog) halve() {
	n := b.n.Load()
	b.n.CompareAndSwap(n, n/2)
}

// redeliveryDelay is how long after a grant the announcement of a task counts as lost. It is longer with more tasks on
// their way, because busy workers take them later.
func (b *backlog) redeliveryDelay() time.Duration {
	return min(taskdb.DeliveryGrace+time.Duration(b.load())*time.Millisecond, relayVerify)
}
