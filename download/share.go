package download

import (
	"context"
	"errors"
	"sync"
)

var errInterrupted = errors.New("download: the call was interrupted")

// calls are the calls of [Client.Share] that run now.
type calls struct {
	mu      sync.Mutex
	running map[string]*sharedCall
}

type sharedCall struct {
	done  chan struct{} // closed at its end
	value any
	err   error
}

// Share runs fn, or, if a call with the same key is running for this client, waits for that one and returns what it
// returned. Callers that want the same bytes at the same time use it to download them once. Only the caller whose fn
// failed gets the error; one of the waiting callers then runs its own fn.
//
// Errors: those of fn; the cause of ctx while it waits.
func (c *Client) Share(ctx context.Context, key string, fn func(ctx context.Context) (any, error)) (any, error) {
	for {
		call, first := c.calls.join(key)
		if first {
			return c.calls.run(ctx, key, call, fn)
		}
		select {
		case <-call.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if call.err == nil {
			return call.value, nil
		}
	}
}

// join returns the running call with the key, or a new one.
func (c *calls) join(key string) (call *sharedCall, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call := c.running[key]; call != nil {
		return call, false
	}
	if c.running == nil {
		c.running = map[string]*sharedCall{}
	}
	// errInterrupted stays if fn panics or calls runtime.Goexit, so that no waiting caller takes the zero value for a
	// result.
	call = &sharedCall{done: make(chan struct{}), err: errInterrupted}
	c.running[key] = call
	return call, true
}

func (c *calls) run(
	ctx context.Context, key string, call *sharedCall, fn func(ctx context.Context) (any, error),
) (any, error) {
	// Deferred, because fn may panic. The key is deleted before done is closed: a waiting caller that makes its own
	// attempt would join the ended call again.
	defer func() {
		c.mu.Lock()
		delete(c.running, key)
		c.mu.Unlock()
		close(call.done)
	}()
	call.value, call.err = fn(ctx)
	return call.value, call.err
}
