package asynqredis

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pulpgo/pulpcore/pulperr"
)

var errClosed = errors.New("the queue is closed")

// connection is the client of one transport, which all its parts share. It is made when it is first used.
type connection struct {
	names
	health health
	dial   func() redis.UniversalClient

	mu     sync.Mutex
	client redis.UniversalClient // nil until first used
	closed bool
}

// names are those of the transport's keys in Redis; the value is their prefix.
type names string

// queue returns the name that asynq has for a queue.
func (n names) queue(queue string) string { return string(n) + "." + queue }

// key returns the name of a key or a channel.
func (n names) key(what string) string { return string(n) + ":" + what }

// poolSize is how many connections a client has at most, without those of subscriptions. Three are enough, because
// scripts share pipelines. The client keeps idle connections, so a short peak would leave ten per core.
const poolSize = 3

// noPipelinePool makes pipelines use the connections of the pool. By default a client has up to ten more for them.
const noPipelinePool = -1

// newConnection returns a connection for the options.
//
// A client ends a call at the deadline of the call's context only if ContextTimeoutEnabled is set: a Redis that does
// not answer would hold up each dispatch for the client's own timeout of some seconds.
func newConnection(o *Options) (*connection, error) {
	c := &connection{names: names(o.Prefix)}
	if o.Redis != nil {
		opts := *o.Redis
		opts.MaintNotificationsConfig, opts.ContextTimeoutEnabled = noNotifications, true
		opts.PoolSize = cmp.Or(opts.PoolSize, poolSize)
		opts.PipelinePoolSize = cmp.Or(opts.PipelinePoolSize, noPipelinePool)
		c.dial = func() redis.UniversalClient { return redis.NewUniversalClient(&opts) }
		return c, nil
	}
	opts, err := redis.ParseURL(o.URL)
	if err != nil { // the parser's message may quote a password
		return nil, pulperr.Public(pulperr.Invalid,
			"the Redis URL is not valid; its form is redis://[user:password@]host[:port]/db, rediss:// or unix://")
	}
	opts.MaintNotificationsConfig, opts.ContextTimeoutEnabled = noNotifications, true
	opts.PoolSize = cmp.Or(opts.PoolSize, poolSize)
	opts.PipelinePoolSize = cmp.Or(opts.PipelinePoolSize, noPipelinePool)
	c.dial = func() redis.UniversalClient { return redis.NewClient(opts) }
	return c, nil
}

var noNotifications = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

// get returns the client.
func (c *connection) get() (redis.UniversalClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("%w: %w", pulperr.Unavailable, errClosed)
	}
	if c.client == nil {
		c.client = c.dial()
	}
	return c.client, nil
}

func (c *connection) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.client == nil {
		return nil
	}
	client := c.client
	c.client = nil
	return client.Close()
}
