package asynqredis_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
)

// TestConnections counts the connections of a process that consumes two queues, announces and subscribes: three
// of the pool and one subscription.
func TestConnections(t *testing.T) {
	t.Parallel()
	url := dbtest.RedisURL(t)
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	observer := redis.NewClient(options)
	defer observer.Close()

	name := uuid.NewString()
	tr, err := asynqredis.New(&asynqredis.Options{
		Redis: &redis.UniversalOptions{
			Addrs: []string{options.Addr}, DB: options.DB, Username: options.Username, Password: options.Password,
			ClientName: name,
		},
		Prefix: name, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()

	connected := make(chan struct{})
	var subscription sync.WaitGroup
	subscription.Go(func() {
		once := sync.OnceFunc(func() { close(connected) })
		tr.Subscribe(t.Context(), func(n transport.Notice) {
			if n.Topic == transport.Connected {
				once()
			}
		})
	})
	defer subscription.Wait()
	defer tr.Close() // ends the subscription
	<-connected

	queues := []string{"one", "two"}
	var handled sync.WaitGroup
	for _, queue := range queues {
		consumer := tr.Consume(queue, 8, func(transport.Message) *transport.Later { handled.Done(); return nil })
		defer consumer.Close()
		defer consumer.Stop()
	}
	for range 50 { // side by side, so that the pool is as large as it gets
		for _, queue := range queues {
			handled.Add(1)
			go func() {
				m := transport.Message{ID: uuid.New(), Queue: queue}
				if _, err := tr.Announce(t.Context(), []transport.Message{m}); err != nil {
					t.Error(err)
					handled.Done()
				}
			}()
		}
	}
	handled.Wait()

	list, err := observer.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for line := range strings.Lines(list) {
		if strings.Contains(line, "name="+name) {
			own = append(own, line)
		}
	}
	t.Logf("connections:\n%s", strings.Join(own, ""))
	if len(own) == 0 || len(own) > 4 {
		t.Errorf("%d connections, want at most 4", len(own))
	}
}
