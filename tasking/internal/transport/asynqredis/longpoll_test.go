package asynqredis

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/internal/dbtest"
)

// TestLongPollKnowsAsynqsRequest fails when a version of asynq asks for messages in another way.
func TestLongPollKnowsAsynqsRequest(t *testing.T) {
	t.Parallel()
	conn, err := newConnection(&Options{URL: dbtest.RedisURL(t), Prefix: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	client, err := conn.get()
	if err != nil {
		t.Fatal(err)
	}
	poll := newLongPoll(client)
	recognised := make(chan struct{})
	poll.matched = sync.OnceFunc(func() { close(recognised) })
	server := asynq.NewServerFromRedisClient(poll, asynq.Config{
		Queues: map[string]int{"q": 1}, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	defer poll.close()
	select {
	case <-recognised:
	case <-time.After(20 * time.Second):
		t.Error("no request was recognised")
	}
}
