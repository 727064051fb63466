package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// receiver executes the tasks that messages announce. Each queue has a consumer of its own, so that long work never
// delays short work.
type receiver struct {
	db        *models.DB
	session   *session
	slots     *slots
	plugins   engine.PluginVersions
	failpoint func(string)
	consumers []transport.Consumer
}

const (
	// putBackPause is the pause of a message that this worker cannot handle at the moment.
	putBackPause = 2 * time.Second
	// leavePause is the pause of a message that another worker should take. It may be long, because the poller of a worker
	// that can execute the task finds the task in the database.
	leavePause = 15 * time.Second
)

// start begins to take messages.
func (r *receiver) start(t transport.Transport) {
	for _, queue := range engine.Queues() {
		r.consumers = append(r.consumers, t.Consume(queue, cap(r.slots.tokens[queue]), r.handle))
	}
}

// stop takes no more messages.
func (r *receiver) stop() {
	for _, c := range r.consumers {
		c.Stop()
	}
}

// close waits for the handlers.
func (r *receiver) close() {
	for _, c := range r.consumers {
		c.Close()
	}
	r.consumers = nil
}

// fresh returns a receiver without consumers that handles messages in the same way.
func (r *receiver) fresh() *receiver {
	return &receiver{db: r.db, session: r.session, slots: r.slots, plugins: r.plugins, failpoint: r.failpoint}
}

// afterDrain leaves a message to other workers because this one shuts down.
var afterDrain = &transport.Later{Pause: putBackPause, Reason: "the worker shuts down"}

// handle executes the task that a message announces. Without a Later the message is done with, however the task ended.
func (r *receiver) handle(m transport.Message) *transport.Later {
	// Before a slot is taken: a message for a newer worker must not wait until a task of this one ends.
	if !r.plugins.Fulfil(m.Versions) {
		return r.leave(m)
	}
	tokens := r.slots.tokens[m.Queue]
	select {
	case tokens <- struct{}{}:
	// A handler that waits for a slot gives its message back at once, so that an idle worker gets it during the shutdown.
	case <-r.session.drain:
		return afterDrain
	}
	defer func() { <-tokens }()
	if !r.session.enter() {
		return afterDrain
	}
	defer r.session.busy.Done()
	err := r.slots.try(m.ID)
	r.failpoint("finish.delivered")
	if err != nil {
		// The claim is undecided, so the message has to come again.
		return &transport.Later{Pause: putBackPause, Reason: "the database does not answer"}
	}
	return nil
}

// leave puts a message back about a task for which this worker is too old, as long as the task waits.
func (r *receiver) leave(m transport.Message) *transport.Later {
	// A message about a task that has ended would go from one old worker to the next for ever. In doubt the message stays.
	waits, err := taskdb.IsWaiting(context.Background(), taskdb.On(r.db), m.ID)
	if err == nil && !waits {
		return nil
	}
	return &transport.Later{
		// The pause varies, or the same workers would get the message in the same order each time.
		Pause: leavePause + rand.N(leavePause/3), Reason: "the worker's plugins are too old for the task",
	}
}
