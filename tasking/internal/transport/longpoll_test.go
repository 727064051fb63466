package transport

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

// TestLongPollKnowsAsynqsRequest fails if a new version of asynq asks for messages in other words.
func TestLongPollKnowsAsynqsRequest(t *testing.T) {
	t.Parallel()
	opts, err := redis.ParseURL(dbtest.RedisURL(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer client.Close()
	var matched atomic.Int32
	h := newLongPoll()
	h.matched = func() { matched.Add(1) }
	h.close()
	client.AddHook(h)
	server := asynq.NewServerFromRedisClient(client, asynq.Config{
		Queues: map[string]int{"q": 1}, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	for deadline := time.After(20 * time.Second); matched.Load() < 3; {
		select {
		case <-deadline:
			t.Fatal("the long poll does not match asynq's requests")
		case <-time.After(time.Millisecond):
		}
	}
}
