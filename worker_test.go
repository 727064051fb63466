package pulpcore_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestAppsShareARedis has two Apps with databases of their own on one Redis, each with a prefix.
func TestAppsShareARedis(t *testing.T) {
	t.Parallel()
	url := dbtest.RedisURL(t)
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	brought := &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password}
	for _, prefix := range []string{"one", "two"} {
		// No Redis listens where the setting says.
		set, err := quiet(t.TempDir(), settings.Value("REDIS_URL", "redis://127.0.0.1:1/0"))
		if err != nil {
			t.Fatal(err)
		}
		app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Redis: brought, RedisPrefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- app.Work(ctx, 1) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Work = %v", err)
			}
		}()
		if err := app.Queue().Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v", err)
		}
	}
	client := redis.NewClient(o)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond) // Redis does not tell of new keys
	defer look.Stop()
	for _, prefix := range []string{"one", "two"} {
		for { // until the worker has left its mark
			keys, err := client.Keys(ctx, prefix+":*").Result()
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) > 0 {
				break
			}
			<-look.C
		}
	}
	if other, err := client.Keys(ctx, "pulp:*").Result(); err != nil || len(other) > 0 {
		t.Errorf("keys with the default prefix = %v, %v", other, err)
	}
}

func TestHeartbeatKnowsItsKinds(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	for _, kind := range []string{"", worker.KindWorker, "API"} {
		if err := app.Heartbeat(t.Context(), kind); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("Heartbeat(%q) = %v, want kind Invalid", kind, err)
		}
	}
}

// startedWith calls itself with the slots of each worker that starts.
type startedWith func(slots int64)

func (startedWith) Enabled(context.Context, slog.Level) bool { return true }
func (h startedWith) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h startedWith) WithGroup(string) slog.Handler          { return h }
func (h startedWith) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "worker has started" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "slots" {
				h(a.Value.Int64())
			}
			return true
		})
	}
	return nil
}

func TestWorkersHaveTheSlotsOfTheSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		workers, slots int
		want           int64
	}{
		{"as the settings say", 7, 0, 7},
		{"as the caller says", 7, 3, 3},
		{"one per core", 0, 0, int64(max(2, runtime.GOMAXPROCS(0)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set, err := quiet(t.TempDir(), settings.Value("WORKERS", tt.workers))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var got int64
			log := slog.New(startedWith(func(slots int64) { got = slots; cancel() }))
			app, err := pulpcore.OpenWith(ctx, set, &pulpcore.Options{Log: log})
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			w, err := app.Worker(tt.slots)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Run(ctx); err != nil || got != tt.want {
				t.Errorf("Run = %v with %d slots, want %d", err, got, tt.want)
			}
		})
	}
}
