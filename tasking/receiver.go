package tasking

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// receiver executes the tasks that messages announce. Each queue has a consumer of its own, so that long work never
// delays short work.
type receiver struct {
	db        *models.DB
	session   *session
	slots     *slots
	fulfils   func(versions *string) bool
	failpoint func(string)
	consumers []transport.Consumer
}

// Reasons to refuse a message for now.
var (
	errDraining     = errors.New("tasking: the worker shuts down")
	errIncompatible = errors.New("tasking: the worker's plugins are too old for the task")
)

// incompatiblePause is how long a message waits that another worker should take. It may be long, because the poller of
// a worker that can execute the task looks for it too.
const incompatiblePause = 15 * time.Second

// start begins to take messages.
func (r *receiver) start(t transport.Transport) {
	for _, queue := range queues() {
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
}

// handle executes the task that a message announces. Without an error the message is done with, however the task ended.
func (r *receiver) handle(m transport.Message) error {
	if !r.fulfils(m.Versions) {
		return r.leave(m)
	}
	tokens := r.slots.tokens[m.Queue]
	select {
	case tokens <- struct{}{}:
	case <-r.session.drain:
		return errDraining
	}
	defer func() { <-tokens }()
	if !r.session.enter() {
		return errDraining
	}
	defer r.session.busy.Done()
	err := r.slots.try(m.ID)
	r.failpoint("finish.delivered")
	return err
}

// leave refuses a message for a while about a task for which this worker is too old, as long as the task waits. The
// pause varies, so that other workers get their turn at the message.
func (r *receiver) leave(m transport.Message) error {
	waits, err := taskdb.IsWaiting(context.Background(), taskdb.On(r.db), m.ID)
	if err == nil && !waits {
		return nil
	}
	return &transport.Later{Reason: errIncompatible, Pause: incompatiblePause + rand.N(incompatiblePause/3)}
}

// listener passes on the notices of other processes. One worker of a process does so for all that listen in it; when it
// ends another one goes on.
type listener struct {
	transport transport.Transport
	token     chan struct{} // of the process
	hub       *eventHub
	publisher *eventPublisher
}

// run listens until ctx is done.
func (l *listener) run(ctx context.Context) {
	select {
	case l.token <- struct{}{}:
		defer func() { <-l.token }()
	case <-ctx.Done():
		return
	}
	l.transport.Subscribe(ctx, l.receive)
}

func (l *listener) receive(n transport.Notice) {
	switch n.Topic {
	case transport.Wake:
		l.transport.Wake()
	case transport.Cancel:
		if id, err := uuid.Parse(n.Payload); err == nil {
			l.hub.cancel(id)
		}
	case transport.Events:
		if l.hub.heard() {
			l.hub.deliver(l.publisher.decode(n.Payload))
		}
	case transport.Connected:
		l.hub.deliver([]Event{lostEvent()})
	}
}
