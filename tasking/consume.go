package tasking

import (
	"context"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

const (
	// putBackPause is how long a message waits that could not be dealt with.
	putBackPause = 2 * time.Second
	// incompatiblePause is how long a task waits that another worker should take.
	incompatiblePause = 5 * time.Second
	// leavePause is how long a message waits that another worker should take. It may be long, because a worker that could
	// take the task also looks for left-over tasks.
	leavePause = 15 * time.Second
)

// consumers are those of a worker, one per queue, so that long tasks never delay short ones.
type consumers []transport.Consumer

// consume starts to take messages from the worker's queues.
func (w *Worker) consume(from transport.Transport, l *life) consumers {
	if w.opts.Slots <= 0 {
		return nil
	}
	var list consumers
	for queue, slots := range w.slots {
		list = append(list, from.Consume(queue, cap(slots), func(m transport.Message) *transport.Later {
			return w.handle(l, m)
		}))
	}
	return list
}

// stop takes no more messages.
func (list consumers) stop() {
	for _, c := range list {
		c.Stop()
	}
}

// close waits for the handlers of messages.
func (list consumers) close() {
	for _, c := range list {
		c.Close()
	}
}

// handle executes the task that a message is about.
func (w *Worker) handle(l *life, m transport.Message) *transport.Later {
	if !w.fulfils(m.Versions) {
		return w.leaveToOthers(m.ID)
	}
	slots := w.slots[m.Queue]
	select {
	case slots <- struct{}{}:
	case <-l.drain:
		return afterDrain
	}
	defer func() { <-slots }()
	if w.enter() == nil {
		return afterDrain
	}
	defer l.busy.Done()
	later := w.tryTask(l, m.ID)
	w.q.at("finish.delivered")
	return later
}

// afterDrain leaves a message to other workers because this one shuts down.
var afterDrain = &transport.Later{Pause: putBackPause, Reason: "the worker shuts down"}

const (
	// downInterval is how often a worker checks whether Redis works.
	downInterval = 250 * time.Millisecond
	// downTimeout is how long Redis may be down before the worker reads ready tasks from the database.
	downTimeout = 10 * time.Second
)

// keepPolling takes ready tasks from the database while Redis is down, and now and then those that are left over.
func (w *Worker) keepPolling(ctx context.Context, l *life) {
	ticker := time.NewTicker(downInterval)
	defer ticker.Stop()
	leftOver := time.NewTicker(leftOverInterval)
	defer leftOver.Stop()
	var polling consumers // nil while Redis works
	var ending sync.WaitGroup
	defer ending.Wait()
	stop := func() {
		polling.stop()
		ending.Go(polling.close)
		polling = nil
	}
	defer stop()
	for {
		select {
		case <-ticker.C:
		case <-leftOver.C:
			w.takeLeftOver(ctx, l)
		case <-l.drain:
			return
		case <-ctx.Done():
			return
		}
		down := w.q.transport.Down() >= downTimeout
		switch {
		case down && polling == nil:
			polling = w.consume(w.q.database, l)
		case !down && polling != nil:
			stop()
		}
	}
}
