package transporttest_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/tasking/internal/transport"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/inprocess"
	"github.com/pulpgo/pulpcore/tasking/internal/transport/transporttest"
)

// wrongEnv names the wrong transport that TestWrongTransport runs the suite on.
const wrongEnv = "TRANSPORTTEST_WRONG"

type harness struct{ transport.Transport }

func (h harness) Open() transport.Transport { return h.Transport }

// doubling calls each handler twice.
type doubling struct{ transport.Transport }

func (d doubling) Consume(queue string, slots int, handle transport.Handler) transport.Consumer {
	return d.Transport.Consume(queue, slots, func(m transport.Message) *transport.Later {
		handle(m)
		return handle(m)
	})
}

// greedy takes more slots than it has.
type greedy struct{ transport.Transport }

func (g greedy) Consume(queue string, slots int, handle transport.Handler) transport.Consumer {
	return g.Transport.Consume(queue, slots+1, handle)
}

// asleep does not wake idle consumers.
type asleep struct{ transport.Transport }

func (asleep) Announce(_ context.Context, messages []transport.Message) (int, error) {
	return len(messages), nil
}

// hasty ignores the pause of messages that are put back.
type hasty struct{ transport.Transport }

func (h hasty) Consume(queue string, slots int, handle transport.Handler) transport.Consumer {
	return h.Transport.Consume(queue, slots, func(m transport.Message) *transport.Later {
		later := handle(m)
		if later != nil {
			later.Pause = 0
		}
		return later
	})
}

// wrong are transports with one fault each, and the tests that have to find it.
var wrong = map[string]struct {
	make func(transport.Transport) transport.Transport
	test string
}{
	"doubling": {func(t transport.Transport) transport.Transport { return doubling{t} }, "a message comes once"},
	"greedy":   {func(t transport.Transport) transport.Transport { return greedy{t} }, "slots are not exceeded"},
	"asleep":   {func(t transport.Transport) transport.Transport { return asleep{t} }, "idle consumers are woken"},
	"hasty": {
		func(t transport.Transport) transport.Transport { return hasty{t} }, "a message that is put back comes again",
	},
}

func newHarness(tasks *transporttest.Tasks) transport.Transport {
	return inprocess.New(tasks.Ready, slog.New(slog.DiscardHandler))
}

// TestWrongTransport runs in a process of its own.
func TestWrongTransport(t *testing.T) {
	t.Parallel()
	w, ok := wrong[os.Getenv(wrongEnv)]
	if !ok {
		t.Skip("is run by TestSuiteFindsFaults")
	}
	transporttest.Run(t, func(_ *testing.T, tasks *transporttest.Tasks) transporttest.Harness {
		return harness{w.make(newHarness(tasks))}
	})
}

func TestSuiteFindsFaults(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test := strings.ReplaceAll(w.test, " ", "_")
			cmd := exec.Command(self, "-test.run", "TestWrongTransport/"+test+"$")
			cmd.Env = append(os.Environ(), wrongEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestWrongTransport/"+test) {
				t.Errorf("the suite did not find the fault: %v\n%s", err, out)
			}
		})
	}
}
