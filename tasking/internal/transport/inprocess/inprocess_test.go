package inprocess_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/inprocess"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the only process of an installation.
type harness struct{ transport.Transport }

func (h harness) Open() transport.Transport { return h.Transport }

func TestTransport(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(_ *testing.T, tasks *transporttest.Tasks) transporttest.Harness {
		return harness{inprocess.New(tasks.Ready, slog.New(slog.DiscardHandler))}
	})
}
