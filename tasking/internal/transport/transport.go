// Package transport carries messages about tasks to the workers of an installation: ready tasks, cancellations and
// events. There are two transports: package asynqredis, for any number of processes, and package inprocess, for an
// installation of one process.
//
// The database is the truth. Everything that a transport carries may be lost, doubled, late or out of order: a message
// about a task leads to an attempt to claim it, and the claim decides.
package transport

import (
	"context"
	"errors"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Message announces that a task may be claimed. Two messages with the same id and generation are the same message; a
// task that waits again for another attempt has a new generation.
type Message = taskdb.ReadyTask

// Transport announces ready tasks to consumers. A transport may also be a [Broadcaster] and a [Retainer]. Its methods
// are safe for concurrent use.
type Transport interface {
	// Announce sends messages to the consumers of their queues in all processes, in this order, and makes idle consumers
	// look for them. It returns how many were sent; the caller has to care for the rest. A message that is there already
	// counts as sent. Announce returns within 2 × [Budget], and at once with [ErrDown] shortly after a failure.
	//
	// The error is nil if at least one message was sent and only the time ran out: a slow transport is not down.
	Announce(ctx context.Context, messages []Message) (sent int, err error)

	// Consume calls handle for the messages of a queue, in at most slots goroutines at a time. Each message goes to one of
	// the consumers of its queue. Consume does not block; it never fails, and waits for a transport that is down.
	// The caller stops and closes the consumer, in this order and before the transport is closed.
	Consume(queue string, slots int, handle Handler) Consumer

	// Down returns for how long the transport has not worked, as far as its calls have noticed; 0 if it works. Then
	// messages reach no consumer, and workers have to look for ready tasks in the database.
	Down() time.Duration

	// Ping returns an error if the transport does not work.
	Ping(ctx context.Context) error

	// Close ends all connections. Later calls have no effect or fail. It may be called twice.
	Close() error
}

// Handler deals with a message. A nil result takes the message away, whatever happened to the task; else the message
// comes again after a pause, to any consumer of the queue.
type Handler func(Message) *Later

// Later puts a message back.
type Later struct {
	Pause  time.Duration
	Reason string // for operators who look at the messages
}

// Consumer takes the messages of one queue.
type Consumer interface {
	// Stop takes no more messages. It does not wait for running handlers. It may be called twice.
	Stop()
	// Close waits for running handlers. It is called once, after Stop.
	Close()
}

// Broadcaster is a transport between several processes. It carries notices from each process to all others.
type Broadcaster interface {
	// Publish sends a notice to the processes that subscribe at this moment; the own one may get it too. It returns within
	// [Budget], and at once with [ErrDown] shortly after a failure.
	Publish(ctx context.Context, n Notice) error

	// Subscribe calls receive for each notice, one at a time, until ctx is done or the transport is closed. It connects
	// again after a failure. receive must not block for long: notices that it keeps waiting may be dropped. It also lets
	// the announcements of other processes reach the idle consumers of this one: without it they wait 250 ms at most.
	Subscribe(ctx context.Context, receive func(Notice))
}

// Notice is a broadcast from one process to all others.
type Notice struct {
	Topic   Topic
	Payload string
}

// Topic is the subject of a [Notice].
type Topic string

// The topics.
const (
	Cancel Topic = "cancel" // the payload is the id of a running task that is to stop
	Events Topic = "event"  // the payload is a list of events
	// Connected is received when a subscription begins, also after a lost connection: notices may be missing before it.
	// It is never published.
	Connected Topic = "connected"
)

// Retainer is a transport that keeps messages outside the process until a consumer takes them, and may lose them. The
// relay uses it to find lost messages.
type Retainer interface {
	Transport

	// Offer sends one message without making idle consumers look for it: see Wake. It reports false if the transport has
	// the message already.
	Offer(ctx context.Context, m Message) (isNew bool, err error)

	// State returns the state of a message that Offer did not send again.
	State(m Message) MessageState

	// Wake makes the idle consumers of all processes look for messages. It returns within [Budget].
	Wake(ctx context.Context)

	// Token returns the token that the transport was given last. It is "" if the transport is new or has lost its data:
	// then it has no message either.
	Token(ctx context.Context) (string, error)

	// SetToken gives the transport a token unless it has one, and returns its token. Of several processes that set one at
	// the same time, all get the same.
	SetToken(ctx context.Context, token string) (string, error)
}

// MessageState is the place of a message on its way to a consumer.
type MessageState int

// The states.
const (
	Lost   MessageState = iota // no consumer will get it: the task needs a message with a new generation
	Queued                     // it waits for a consumer; also if the transport does not answer
	Taken                      // a consumer got it and has not dealt with it yet
)

// Budget is how long a call waits for a transport that does not answer.
const Budget = 200 * time.Millisecond

// RetryAfter is how long calls do not use a transport that has failed.
const RetryAfter = time.Second

// ErrDown is the error of calls that were not tried, because the transport failed within [RetryAfter].
var ErrDown = errors.New("the transport failed just now")
