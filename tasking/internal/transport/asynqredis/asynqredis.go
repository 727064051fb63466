// Package asynqredis is the transport between processes: asynq on Redis. A message is a task of asynq with the id of
// the message; notices are messages of Redis's channels.
package asynqredis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// Options select the Redis that carries the messages.
type Options struct {
	URL    string                  // "redis://[user:password@]host[:port]/db", rediss:// or unix://
	Redis  *redis.UniversalOptions // the full connection options; they win over URL
	Prefix string                  // begins all names in Redis
	Log    *slog.Logger
}

// Transport is a [transport.Retainer] and a [transport.Broadcaster] on Redis. It has one client, with which producers,
// consumers and the subscription share their connections.
type Transport struct {
	conn  *connection
	log   *slog.Logger
	out   *producer
	waker *waker
}

// New returns a transport. It connects when it is first used.
//
// Errors: Invalid for a malformed URL.
func New(o *Options) (*Transport, error) {
	conn, err := newConnection(o)
	if err != nil {
		return nil, err
	}
	return &Transport{conn: conn, log: o.Log, out: &producer{conn: conn}, waker: newWaker(conn, o.Log)}, nil
}

// Client returns the client, which the transport closes.
//
// Errors: Unavailable once the transport is closed.
func (t *Transport) Client() (redis.UniversalClient, error) { return t.conn.get() }

// QueueName returns the name of a queue in Redis.
func (t *Transport) QueueName(queue string) string { return t.conn.queue(queue) }

// Ping implements [transport.Transport].
func (t *Transport) Ping(ctx context.Context) error {
	client, err := t.conn.get()
	if err != nil {
		return err
	}
	return client.Ping(ctx).Err()
}

// Down implements [transport.Transport].
func (t *Transport) Down() time.Duration { return t.conn.health.down() }

// Close implements [transport.Transport].
func (t *Transport) Close() error { return t.conn.close() }

// maxAnnounced is how many messages one call of Announce sends. More would keep the caller, which is a task that ends,
// from its next one.
const maxAnnounced = 200

// Announce implements [transport.Transport]. Messages and wake-up have a budget each.
func (t *Transport) Announce(ctx context.Context, messages []transport.Message) (int, error) {
	if t.conn.health.failedJustNow() {
		// Otherwise each dispatch, and each end of a task, would wait its budget for a Redis that is known not to answer.
		return 0, transport.ErrDown
	}
	sent, err := t.out.sendAll(ctx, messages[:min(len(messages), maxAnnounced)])
	if sent > 0 {
		// After the messages are in Redis, or a woken consumer finds none.
		t.waker.wakeAll(ctx)
	}
	return sent, err
}

// Offer implements [transport.Retainer].
func (t *Transport) Offer(ctx context.Context, m transport.Message) (isNew bool, err error) {
	isNew, err = t.out.send(ctx, m)
	if err != nil {
		t.conn.health.failed()
		return false, err
	}
	t.conn.health.answered()
	return isNew, nil
}

// State implements [transport.Retainer].
func (t *Transport) State(m transport.Message) transport.MessageState { return t.out.state(m) }

// Wake implements [transport.Retainer].
func (t *Transport) Wake(ctx context.Context) { t.waker.wakeAll(ctx) }

// Consume implements [transport.Transport].
func (t *Transport) Consume(queue string, slots int, handle transport.Handler) transport.Consumer {
	client, err := t.conn.get()
	if err != nil {
		return noConsumer{}
	}
	return startConsumer(client, t.waker, consumerOptions{
		queue: queue, name: t.conn.queue(queue), slots: slots, handle: handle, log: t.log,
	})
}

// Publish implements [transport.Broadcaster].
func (t *Transport) Publish(ctx context.Context, n transport.Notice) error {
	return t.conn.publish(ctx, string(n.Topic), n.Payload)
}

func (c *connection) publish(ctx context.Context, channel, payload string) error {
	if c.health.failedJustNow() {
		return transport.ErrDown
	}
	client, err := c.get()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, transport.Budget)
	defer cancel()
	return client.Publish(ctx, c.key(channel), payload).Err()
}

// Subscribe implements [transport.Broadcaster].
func (t *Transport) Subscribe(ctx context.Context, receive func(transport.Notice)) {
	client, err := t.conn.get()
	if err != nil {
		return
	}
	events := t.conn.key(string(transport.Events))
	sub := client.Subscribe(ctx, t.conn.key(wakeChannel), t.conn.key(string(transport.Cancel)), events)
	defer sub.Close()
	messages := sub.ChannelWithSubscriptions()
	for {
		var message any
		var ok bool
		select {
		case message, ok = <-messages:
		case <-ctx.Done():
		}
		if !ok {
			return
		}
		switch m := message.(type) {
		case *redis.Subscription:
			if m.Channel == events { // one of three that begin together
				receive(transport.Notice{Topic: transport.Connected})
			}
		case *redis.Message:
			channel := strings.TrimPrefix(m.Channel, t.conn.key(""))
			if channel == wakeChannel {
				t.waker.wakeOwn()
			} else {
				receive(transport.Notice{Topic: transport.Topic(channel), Payload: m.Payload})
			}
		}
	}
}

// Token implements [transport.Retainer].
func (t *Transport) Token(ctx context.Context) (string, error) {
	client, err := t.conn.get()
	if err != nil {
		return "", err
	}
	token, err := client.Get(ctx, t.conn.key(tokenKey)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.conn.health.failed()
		return "", err
	}
	t.conn.health.answered()
	t.out.sawToken(token)
	return token, nil
}

// SetToken implements [transport.Retainer].
func (t *Transport) SetToken(ctx context.Context, token string) (string, error) {
	client, err := t.conn.get()
	if err != nil {
		return "", err
	}
	// NX keeps the token of a process that was faster, and the GET returns that one.
	err = client.SetArgs(ctx, t.conn.key(tokenKey), token, redis.SetArgs{Mode: "NX"}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	token, err = client.Get(ctx, t.conn.key(tokenKey)).Result()
	if err == nil {
		t.out.sawToken(token)
	}
	return token, err
}

const tokenKey = "epoch"

// EvictionPolicy returns the eviction policy of Redis, or "" if Redis refuses to return it.
func (t *Transport) EvictionPolicy(ctx context.Context) string {
	client, err := t.conn.get()
	if err != nil {
		return ""
	}
	policy, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil { // managed services refuse the command
		return ""
	}
	return policy["maxmemory-policy"]
}

var (
	_ transport.Retainer    = (*Transport)(nil)
	_ transport.Broadcaster = (*Transport)(nil)
)
