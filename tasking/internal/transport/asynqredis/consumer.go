package asynqredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// consumer is an asynq server that takes the messages of one queue.
type consumer struct {
	consumerOptions
	server *asynq.Server
	poll   *longPoll
	waker  *waker
}

type consumerOptions struct {
	queue  string
	name   string // of the queue in Redis
	slots  int
	handle transport.Handler
	log    *slog.Logger
}

func startConsumer(client redis.UniversalClient, w *waker, o consumerOptions) *consumer {
	c := &consumer{consumerOptions: o, poll: newLongPoll(newPipeline(client)), waker: w}
	w.add(c.poll)
	c.server = asynq.NewServerFromRedisClient(c.poll, asynq.Config{
		Concurrency: o.slots,
		Queues:      map[string]int{o.name: 1},
		// The long poll holds each request back, so asynq's own pause between requests can be short.
		TaskCheckInterval:        idleInterval,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc:           retryDelay,
		// A message that is put back has not failed: asynq would count the attempts and archive the message in the end.
		IsFailure: func(error) bool { return false },
		// asynq would put the messages of running tasks back after the timeout, although the tasks go on.
		ShutdownTimeout: 24 * time.Hour,
		Logger:          asynqLog{o.log},
	})
	if err := c.server.Start(asynq.HandlerFunc(c.process)); err != nil { // only a server that was started before fails
		o.log.Error("asynq does not start", "err", err)
	}
	return c
}

// Stop implements [transport.Consumer].
func (c *consumer) Stop() {
	c.waker.remove(c.poll)
	// Before the server stops, because that waits for its request for the next message.
	c.poll.close()
	c.server.Stop()
}

// Close implements [transport.Consumer].
func (c *consumer) Close() { c.server.Shutdown() }

// process calls the handler.
func (c *consumer) process(ctx context.Context, task *asynq.Task) error {
	m, err := parseMessage(c.queue, task.ResultWriter().TaskID(), task.Payload())
	if err != nil {
		// Dropped: put back, it would come again for ever.
		c.log.WarnContext(ctx, "message in redis names no task and is dropped", "err", err)
		return nil
	}
	// Without the context of asynq, which also ends when Redis does not answer: that is no reason to end a task.
	if later := c.handle(m); later != nil {
		return (*postponed)(later)
	}
	return nil
}

// postponed is a [transport.Later] on its way through asynq.
type postponed transport.Later

func (p *postponed) Error() string { return p.Reason }

// retryDelay is how long a message waits that its handler put back. asynq itself makes errors too, for example when a
// handler panics.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if p, ok := errors.AsType[*postponed](err); ok {
		return p.Pause
	}
	return time.Second
}

// noConsumer is the consumer of a closed transport.
type noConsumer struct{}

func (noConsumer) Stop()  {}
func (noConsumer) Close() {}

// asynqLog passes the lines of asynq's log on.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Fatal(args ...any) { l.log.Error("asynq", "text", fmt.Sprint(args...)) }

// Error logs a failure, except that of the subscription which [longPoll.Subscribe] closes.
func (l asynqLog) Error(args ...any) {
	text, level := fmt.Sprint(args...), slog.LevelWarn
	if strings.HasPrefix(text, "cannot subscribe to cancelation channel") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "asynq", "text", text)
}

var _ asynq.Logger = asynqLog{}
