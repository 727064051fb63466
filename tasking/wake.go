package tasking

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// longPoll makes asynq wait for work instead of asking for it many times a second. It is a hook on the connection of an
// asynq server: an answer "nothing there" to the server's request for the next message is held back until somebody
// announces one, or for a quarter of a second, and then the request is sent again. While it waits it holds no
// connection. It knows the request by its keys; should a future asynq word it differently, the hook does nothing and
// [idleInterval] is how often asynq asks.
type longPoll struct {
	woken   chan struct{}
	quit    chan struct{} // closed before the asynq server stops, which waits for its request
	patient time.Duration
	matched func() // for tests
}

const (
	longPollPatience = 250 * time.Millisecond
	idleInterval     = 20 * time.Millisecond
)

func newLongPoll() *longPoll {
	return &longPoll{
		woken: make(chan struct{}, 1), quit: make(chan struct{}), patient: longPollPatience, matched: func() {},
	}
}

// wake ends the current wait, or the next one at once.
func (h *longPoll) wake() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

func (h *longPoll) close() { close(h.quit) }

// DialHook changes nothing.
func (h *longPoll) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook changes nothing.
func (h *longPoll) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook holds back empty answers.
func (h *longPoll) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if !isDequeue(cmd) {
			return err
		}
		h.matched()
		for errors.Is(err, redis.Nil) {
			timer := time.NewTimer(h.patient)
			select {
			case <-h.woken:
				timer.Stop()
			case <-timer.C:
			case <-h.quit:
				timer.Stop()
				return err
			}
			cmd.SetErr(nil)
			err = next(ctx, cmd)
		}
		return err
	}
}

// isDequeue recognises asynq's request for the next message: a script with four keys, of which the first is a queue's
// pending list and the last its leases.
func isDequeue(cmd redis.Cmder) bool {
	a := cmd.Args()
	return len(a) >= 7 && (cmd.Name() == "evalsha" || cmd.Name() == "eval") &&
		hasSuffixes(a[3:7], ":pending", ":paused", ":active", ":lease")
}
