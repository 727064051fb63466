package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// listener passes the notices of other processes on to the messenger of this one. One subscription serves all workers
// of a process.
type listener struct {
	from      transport.Broadcaster
	to        *Messenger
	publisher *publisher
	turn      chan struct{} // a token for the worker that subscribes
}

func newListener(from transport.Broadcaster, to *Messenger, publisher *publisher) *listener {
	return &listener{from: from, to: to, publisher: publisher, turn: make(chan struct{}, 1)}
}

// run listens until ctx is done. While another worker of the process listens it waits, to continue when that one ends.
func (l *listener) run(ctx context.Context) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return
	}
	l.from.Subscribe(ctx, l.receive)
}

func (l *listener) receive(n transport.Notice) {
	switch n.Topic {
	case transport.Cancel:
		if id, err := uuid.Parse(n.Payload); err == nil {
			l.to.signals.cancel(id)
		}
	case transport.Connected:
		// Events may have been missed while the connection was away: subscribers have to read the database.
		l.to.pass([]event.Event{event.OfLoss()})
	case transport.Events:
		// Most processes have no reader most of the time, and parsing costs more than all else here.
		if l.to.hasReaders() && !l.publisher.isOwn(n.Payload) {
			l.to.pass(l.publisher.parse(n.Payload))
		}
	}
}
