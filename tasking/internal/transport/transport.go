// Package transport carries news about tasks between the processes of an installation: which tasks are ready, which are
// to be canceled, and what has happened. There are two transports: [NewRedis], asynq on Redis, and [NewLocal] for
// installations of one process.
//
// The database is the truth. Everything that a transport carries may be lost, doubled, late or out of order: a message
// about a task leads to an attempt to claim it, and the relay and the poller find tasks whose message was lost.
package transport

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Message says that a task may be claimed. A later generation of the message means that the task waits again.
type Message = taskdb.ReadyTask

// Topic is what a notice is about.
type Topic string

// The topics.
const (
	Wake   Topic = "wake"   // tasks became ready; the notice has no payload
	Cancel Topic = "cancel" // the payload is the id of a running task that is to stop
	Events Topic = "event"  // the payload is a list of events
	// Connected is received when a subscription begins, also after a lost connection: notices may be missing before it.
	// It is never published.
	Connected Topic = "connected"
)

// Notice is what one process tells all others.
type Notice struct {
	Topic   Topic
	Payload string
}

// Transport is how the processes of an installation reach each other. Its methods are safe for concurrent use.
type Transport interface {
	// Announce hands messages to the consumers of all processes, in this order, and returns how many were taken. It takes
	// 200 ms at most; the end of that time after the first message is no error. A message that the transport has already
	// counts as taken. After an error, further calls fail at once for a second.
	Announce(ctx context.Context, list []Message) (int, error)

	// Consume calls handle for the messages of a queue, in slots goroutines at most, until the consumer is stopped. If
	// handle returns an error, the message may come again after a pause of [RetryPause] of the error. The caller stops
	// and closes the consumer.
	Consume(queue string, slots int, handle func(Message) error) Consumer

	// Wake makes idle consumers of this process look for messages now.
	Wake()

	// Publish sends a notice to the other processes. It takes 200 ms at most and fails at once where Redis failed within
	// the last second. The own process may receive the notice too.
	Publish(ctx context.Context, n Notice) error

	// Subscribe calls receive for each notice of other processes until ctx is done.
	Subscribe(ctx context.Context, receive func(Notice))

	// Polls reports whether consumers must also look for ready tasks in the database: messages do not reach them, or
	// nothing repeats the lost ones.
	Polls() bool

	// Close ends all connections. Later calls do nothing or fail. It may be called twice.
	Close() error
}

// Consumer takes messages from one queue.
type Consumer interface {
	// Stop takes no more messages. It does not wait for handlers.
	Stop()
	// Close waits for the handlers that run. Stop comes first.
	Close()
}

// Budget is how long a dispatch or the end of a task waits for a transport.
const Budget = 200 * time.Millisecond

// Later is an error of a handler that knows when its message should come again.
type Later struct {
	Reason error
	Pause  time.Duration
}

func (e *Later) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *Later) Unwrap() error { return e.Reason }
