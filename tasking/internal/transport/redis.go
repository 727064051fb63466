package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pulpgo/pulpcore/pulperr"
)

// RedisOptions say which Redis carries the messages.
type RedisOptions struct {
	URL     string                  // "redis://[user:password@]host[:port]/db", rediss:// or unix://
	Options *redis.UniversalOptions // the full connection options; they win over URL
	Prefix  string                  // begins all names in Redis
	Log     *slog.Logger
}

// Redis is a transport that uses asynq. Besides [Transport] it answers the questions of the relay.
type Redis struct {
	prefix    string
	log       *slog.Logger
	newClient func() redis.UniversalClient
	health    health

	mu       sync.Mutex
	client   redis.UniversalClient // nil until first used
	producer *asynq.Client         // on client
	polls    map[*longPoll]bool    // of the consumers
	closed   bool
}

// messageType is the type of all asynq messages.
const messageType = "task"

const (
	// noTimeout keeps asynq from ending a task: it would give up the message and leave the function running.
	noTimeout = 10 * 365 * 24 * time.Hour
	// neverArchive keeps asynq from giving up a message that was put back often.
	neverArchive = 1 << 20
	// idleInterval is how often asynq asks for the next message where the long poll does not hold its request back.
	idleInterval = 20 * time.Millisecond
	// pollAfter is how long Redis may be away before workers poll the database.
	pollAfter = 10 * time.Second
	// defaultPause is how long a message waits that its handler refused without a [Later].
	defaultPause = 2 * time.Second
)

var errClosed = errors.New("the queue is closed")

// NewRedis returns a transport on Redis. It connects when it is first used.
//
// Errors: Invalid for a malformed URL.
func NewRedis(o *RedisOptions) (*Redis, error) {
	r := &Redis{prefix: o.Prefix, log: o.Log, polls: map[*longPoll]bool{}}
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// A client ends a call at the deadline of the call's context, which it does not by default: a Redis that does not
	// answer would hold up each dispatch for the client's own 5 s.
	if o.Options != nil {
		opts := *o.Options
		opts.MaintNotificationsConfig, opts.ContextTimeoutEnabled = quiet, true
		r.newClient = func() redis.UniversalClient { return redis.NewUniversalClient(&opts) }
		return r, nil
	}
	opts, err := redis.ParseURL(o.URL)
	if err != nil { // the parser's message may quote a password
		return nil, pulperr.Public(pulperr.Invalid, "the Redis URL is not valid")
	}
	opts.MaintNotificationsConfig, opts.ContextTimeoutEnabled = quiet, true
	r.newClient = func() redis.UniversalClient { return redis.NewClient(opts) }
	return r, nil
}

// Client returns the connection, which the transport closes.
//
// Errors: one if the transport is closed.
func (r *Redis) Client() (redis.UniversalClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	r.connect()
	return r.client, nil
}

// connect makes what does not exist yet. The caller holds mu.
func (r *Redis) connect() {
	if r.client == nil {
		r.client = r.newClient()
		pipelineScripts(r.client)
	}
	if r.producer == nil {
		r.producer = asynq.NewClientFromRedisClient(r.client)
	}
}

// Close implements [Transport].
func (r *Redis) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.client == nil {
		return nil
	}
	client := r.client
	r.client = nil
	return client.Close()
}

// Ping asks Redis whether it is there.
func (r *Redis) Ping(ctx context.Context) error {
	client, err := r.Client()
	if err == nil {
		err = client.Ping(ctx).Err()
	}
	return err
}

// QueueName returns the name of a queue in Redis.
func (r *Redis) QueueName(queue string) string { return r.prefix + "." + queue }

// key returns the name of a channel or a key in Redis.
func (r *Redis) key(what string) string { return r.prefix + ":" + what }

// Announce implements [Transport].
func (r *Redis) Announce(ctx context.Context, list []Message) (int, error) {
	if r.health.failedJustNow() {
		return 0, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, Budget)
	defer cancel()
	for i, m := range list {
		_, err := r.send(ctx, m)
		switch {
		case err == nil:
			r.health.answered()
		case i > 0 && ctx.Err() != nil: // a Redis that took some messages and then ran out of time is slow, not down
			return i, nil
		default:
			r.health.failed()
			return i, err
		}
	}
	return len(list), nil
}

// errAway is the error of calls that do not even try, because Redis failed within the last second.
var errAway = errors.New("redis failed just now")

// IsAway reports whether a call did not try to reach Redis.
func IsAway(err error) bool { return errors.Is(err, errAway) }

// Offer hands one message to asynq and reports false if asynq has it already.
func (r *Redis) Offer(ctx context.Context, m Message) (bool, error) {
	fresh, err := r.send(ctx, m)
	if err != nil {
		r.health.failed()
		return false, err
	}
	r.health.answered()
	return fresh, nil
}

// send is Offer without a note of whether Redis answers.
func (r *Redis) send(ctx context.Context, m Message) (bool, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false, errClosed
	}
	r.connect()
	producer := r.producer
	r.mu.Unlock()
	_, err := producer.EnqueueContext(ctx, asynq.NewTask(messageType, payloadOf(m)), asynq.TaskID(messageID(m)),
		asynq.Queue(r.QueueName(m.Queue)), asynq.MaxRetry(neverArchive), asynq.Timeout(noTimeout))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("tasking: enqueue: %w", err)
	}
	return true, nil
}

// IsActive reports whether a worker has a message that asynq said it has. If Redis does not answer it counts as waiting
// for a worker: waits is true then, as where it does.
func (r *Redis) IsActive(m Message) (active, waits bool) {
	client, err := r.Client()
	if err != nil {
		return false, true
	}
	info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo(r.QueueName(m.Queue), messageID(m))
	if err != nil {
		return false, false
	}
	switch info.State {
	case asynq.TaskStateActive:
		return true, false
	case asynq.TaskStatePending, asynq.TaskStateScheduled, asynq.TaskStateRetry:
		return false, true
	}
	return false, false
}

// messageID identifies a message, so that asynq has it once.
func messageID(m Message) string { return m.ID.String() + "." + strconv.Itoa(m.Gen) }

// payloadOf is what asynq carries: the task's id and, behind it, the versions of plugins that it needs, if any.
func payloadOf(m Message) []byte {
	payload := m.ID[:]
	if m.Versions != nil {
		payload = append(payload[:len(payload):len(payload)], *m.Versions...)
	}
	return payload
}

// parseMessage is the reverse of payloadOf, for a message of a queue. The generation is not part of it.
func parseMessage(queue string, payload []byte) (m Message, err error) {
	n := min(len(payload), len(m.ID))
	m.ID, err = uuid.FromBytes(payload[:n])
	m.Queue = queue
	if len(payload) > n {
		m.Versions = new(string(payload[n:]))
	}
	return m, err
}

// Consume implements [Transport]. The consumer has a connection of its own, because its requests are held back.
func (r *Redis) Consume(queue string, slots int, handle func(Message) error) Consumer {
	c := &redisConsumer{redis: r, client: r.newClient(), poll: newLongPoll()}
	pipelineScripts(c.client)
	c.client.AddHook(c.poll)
	r.mu.Lock()
	r.polls[c.poll] = true
	r.mu.Unlock()
	c.server = asynq.NewServerFromRedisClient(c.client, asynq.Config{
		Concurrency:              slots,
		Queues:                   map[string]int{r.QueueName(queue): 1},
		TaskCheckInterval:        idleInterval,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc:           retryDelay,
		IsFailure:                func(error) bool { return false },
		ShutdownTimeout:          24 * time.Hour, // else it would put the messages of running tasks back
		Logger:                   asynqLog{r.log},
	})
	// The context of asynq also ends when Redis is not well, which is no reason to end a task.
	handler := asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		m, err := parseMessage(queue, task.Payload())
		if err != nil {
			r.log.WarnContext(ctx, "message is not a task's", "err", err)
			return nil
		}
		return handle(m)
	})
	if err := c.server.Start(handler); err != nil { // only a server that was started before fails
		r.log.Error("asynq does not start", "err", err)
	}
	return c
}

// retryDelay is how long a message waits that its handler refused.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if later, ok := errors.AsType[*Later](err); ok {
		return later.Pause
	}
	return defaultPause
}

// redisConsumer is an asynq server for one queue.
type redisConsumer struct {
	redis  *Redis
	client redis.UniversalClient
	poll   *longPoll
	server *asynq.Server
}

// Stop implements [Consumer].
func (c *redisConsumer) Stop() {
	c.redis.mu.Lock()
	delete(c.redis.polls, c.poll)
	c.redis.mu.Unlock()
	c.poll.close()
	c.server.Stop()
}

// Close implements [Consumer].
func (c *redisConsumer) Close() {
	c.server.Shutdown()
	_ = c.client.Close()
}

// Wake implements [Transport].
func (r *Redis) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.polls {
		p.wake()
	}
}

// Publish implements [Transport].
func (r *Redis) Publish(ctx context.Context, n Notice) error {
	if r.health.failedJustNow() {
		return errAway
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Budget)
	defer cancel()
	client, err := r.Client()
	if err != nil {
		return err
	}
	return client.Publish(ctx, r.key(string(n.Topic)), n.Payload).Err()
}

// Subscribe implements [Transport].
func (r *Redis) Subscribe(ctx context.Context, receive func(Notice)) {
	client, err := r.Client()
	if err != nil {
		return
	}
	sub := client.Subscribe(ctx, r.key(string(Wake)), r.key(string(Cancel)), r.key(string(Events)))
	defer sub.Close()
	messages := sub.ChannelWithSubscriptions()
	for {
		select {
		case message, ok := <-messages:
			switch m := message.(type) {
			case nil:
				if !ok {
					return
				}
			case *redis.Subscription:
				if m.Channel == r.key(string(Events)) { // one of three that begin together
					receive(Notice{Topic: Connected})
				}
			case *redis.Message:
				receive(Notice{Topic: Topic(strings.TrimPrefix(m.Channel, r.prefix+":")), Payload: m.Payload})
			}
		case <-ctx.Done():
			return
		}
	}
}

// Polls implements [Transport]: while Redis is away, messages reach no worker.
func (r *Redis) Polls() bool { return r.health.down() >= pollAfter }

// EvictionPolicy returns what Redis does when its memory is full, or "" if it does not say.
func (r *Redis) EvictionPolicy(ctx context.Context) string {
	client, err := r.Client()
	if err != nil {
		return ""
	}
	policy, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return ""
	}
	return policy["maxmemory-policy"]
}

// Token returns the token that [Redis.SetToken] stored last, or "" if Redis is new or has lost its data.
func (r *Redis) Token(ctx context.Context) (string, error) {
	client, err := r.Client()
	if err != nil {
		return "", err
	}
	token, err := client.Get(ctx, r.key("epoch")).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		r.health.failed()
		return "", err
	}
	r.health.answered()
	return token, nil
}

// SetToken stores a token unless there is one, and returns the one that is there then: of several processes that set
// one at the same time, all get the same.
func (r *Redis) SetToken(ctx context.Context, token string) (string, error) {
	client, err := r.Client()
	if err != nil {
		return "", err
	}
	err = client.SetArgs(ctx, r.key("epoch"), token, redis.SetArgs{Mode: "NX"}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	return client.Get(ctx, r.key("epoch")).Result()
}

// Reset makes a new producer: asynq's remembers which queues Redis knows, also those that Redis has lost.
func (r *Redis) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.producer = nil
}

// Away reports whether Redis failed within the last second, so that callers need not find out again.
func (r *Redis) Away() bool { return r.health.failedJustNow() }

// asynqLog passes the lines of asynq on.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Fatal(args ...any) { l.log.Error("asynq", "text", fmt.Sprint(args...)) }
