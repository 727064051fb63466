package inspect

import (
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
)

// ErrNoRedis is the error of [Redis] if the queue was opened without a Redis.
var ErrNoRedis = pulperr.Public(pulperr.Unavailable, "the tasks of this installation are not announced in a Redis")

// Redis returns the connection to the Redis in which ready tasks are announced, for tools that show its messages. The
// queue closes it.
//
// Errors: ErrNoRedis; Unavailable once the queue is closed.
func Redis(q *tasking.Queue) (redis.UniversalClient, error) {
	t, ok := q.Core().Transport.(*asynqredis.Transport)
	if !ok {
		return nil, ErrNoRedis
	}
	return t.Client()
}

// RedisQueues returns the names that the queue has within Redis: the one of ordinary tasks first, then that of
// immediate ones. Without a Redis there are none.
func RedisQueues(q *tasking.Queue) []string {
	t, ok := q.Core().Transport.(*asynqredis.Transport)
	if !ok {
		return nil
	}
	return []string{t.QueueName(engine.DefaultQueue), t.QueueName(engine.ImmediateQueue)}
}
