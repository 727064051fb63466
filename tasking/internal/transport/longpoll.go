package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// longPoll makes asynq wait for messages instead of asking for them many times a second. It is a hook on the connection
// of an asynq server: it holds the answer "no message" to a request for the next one back until a process announces
// one, or for a quarter of a second, and then sends the request again. While it waits it holds no connection.
//
// The hook knows the request by its keys. A version of asynq that words the request differently would not be matched:
// asynq then asks every idleInterval.
type longPoll struct {
	woken   chan struct{}
	quit    chan struct{} // closed before the asynq server stops, which waits for its request
	timeout time.Duration
	matched func() // for tests
}

// longPollTimeout is how long an answer is held back at most.
const longPollTimeout = 250 * time.Millisecond

func newLongPoll() *longPoll {
	return &longPoll{
		woken: make(chan struct{}, 1), quit: make(chan struct{}), timeout: longPollTimeout, matched: func() {},
	}
}

// wake ends the current wait. If there is none, the next request is repeated at once.
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
			timer := time.NewTimer(h.timeout)
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

// isDequeue recognises asynq's request for the next message: a script with four keys, of which the first is the list of
// pending messages of a queue and the last the list of its leases.
func isDequeue(cmd redis.Cmder) bool {
	a := cmd.Args()
	if len(a) < 7 || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
		return false
	}
	for i, suffix := range []string{":pending", ":paused", ":active", ":lease"} {
		key, ok := a[3+i].(string)
		if !ok || !strings.HasSuffix(key, suffix) {
			return false
		}
	}
	return true
}
