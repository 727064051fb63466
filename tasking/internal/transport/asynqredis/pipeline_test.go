package asynqredis

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// traffic counts what goes to Redis and holds it back.
type traffic struct {
	mu        sync.Mutex
	pipelines []int // scripts in each
	alone     int   // scripts in none
	hold      chan struct{}
}

func (h *traffic) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *traffic) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			h.mu.Lock()
			h.alone++
			h.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (h *traffic) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() != "evalsha" { // the first words on a new connection
			return next(ctx, cmds)
		}
		h.mu.Lock()
		h.pipelines = append(h.pipelines, len(cmds))
		h.mu.Unlock()
		<-h.hold
		return next(ctx, cmds)
	}
}

func TestScriptsShareAPipeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		defer server.Close()
		client := redis.NewClient(&redis.Options{
			Addr:                     "127.0.0.1:1", // never dialled
			Dialer:                   func(context.Context, string, string) (net.Conn, error) { return server.Dial() },
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		defer client.Close()
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		script := redis.NewScript("if ARGV[1] == '3' then return redis.error_reply('no') end return ARGV[1]")
		if err := script.Load(t.Context(), client).Err(); err != nil {
			t.Fatal(err)
		}
		h := &traffic{hold: make(chan struct{})}
		client.AddHook(h)
		pipelined := newPipeline(client)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for n := range 5 {
			wg.Go(func() {
				got, err := script.Run(ctx, pipelined, nil, n).Text()
				switch {
				case n == 3 && (err == nil || !strings.Contains(err.Error(), "no")):
					t.Errorf("the script that fails = %q, %v", got, err)
				case n != 3 && (err != nil || got != string(rune('0'+n))):
					t.Errorf("script %d = %q, %v", n, got, err)
				}
			})
			synctest.Wait()
		}
		h.hold <- struct{}{}
		h.hold <- struct{}{}
		wg.Wait()
		if len(h.pipelines) != 2 || h.pipelines[0] != 1 || h.pipelines[1] != 4 || h.alone != 0 {
			t.Errorf("pipelines of %v scripts and %d scripts alone, want [1 4] and none", h.pipelines, h.alone)
		}
		other := redis.NewScript("return 'x'") // which the server does not know
		close(h.hold)
		if got, err := other.Run(ctx, pipelined, nil).Text(); err != nil || got != "x" {
			t.Errorf("a script that was not loaded = %q, %v", got, err)
		}
	})
}
