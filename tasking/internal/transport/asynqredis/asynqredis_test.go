package asynqredis_test

import (
	"log/slog"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/asynqredis"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness opens transports on one Redis.
type harness struct {
	t    *testing.T
	opts asynqredis.Options
}

func (h harness) Open() transport.Transport {
	h.t.Helper()
	tr, err := asynqredis.New(&h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func newHarness(t *testing.T, url string) transporttest.Harness {
	return harness{t, asynqredis.Options{URL: url, Prefix: uuid.NewString(), Log: slog.New(slog.DiscardHandler)}}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	url := dbtest.RedisURL(t)
	transporttest.Run(t, func(t *testing.T, _ *transporttest.Tasks) transporttest.Harness { return newHarness(t, url) })
}

// TestTransportOnMiniredis runs where there is no Redis. miniredis has a clock of its own, which asynq's retries wait
// for.
func TestTransportOnMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	transporttest.Run(t, func(t *testing.T, _ *transporttest.Tasks) transporttest.Harness {
		return newHarness(t, "redis://"+server.Addr()+"/0")
	})
}
