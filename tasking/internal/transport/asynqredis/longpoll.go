package asynqredis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// longPoll is the client of an asynq server. It makes the server wait for messages instead of asking for them many
// times a second: an answer "no message" is held back until [longPoll.wake], or for a quarter of a second, and then
// the request is sent again. While it waits it holds no connection.
//
// It recognises the request by its keys. If a version of asynq has other keys, no request is held back and asynq asks
// every idleInterval.
type longPoll struct {
	redis.UniversalClient
	timeout time.Duration
	woken   chan struct{}
	quit    chan struct{} // closed before the asynq server stops, because that waits for its requests
	close   func()        // closes quit
	matched func()        // for tests
}

const (
	longPollTimeout = 250 * time.Millisecond
	idleInterval    = 20 * time.Millisecond
)

func newLongPoll(client redis.UniversalClient) *longPoll {
	quit := make(chan struct{})
	return &longPoll{
		UniversalClient: client, timeout: longPollTimeout, woken: make(chan struct{}, 1), quit: quit,
		close: sync.OnceFunc(func() { close(quit) }), matched: func() {},
	}
}

// wake ends the current wait, or the next one at once.
func (p *longPoll) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// EvalSha runs a script.
func (p *longPoll) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if !isDequeue(keys) {
		return cmd
	}
	p.matched()
	for errors.Is(cmd.Err(), redis.Nil) {
		timer := time.NewTimer(p.timeout)
		select {
		case <-p.woken:
			timer.Stop()
		case <-timer.C:
		// The server waits for this request before it stops.
		case <-p.quit:
			timer.Stop()
			return cmd
		}
		cmd = p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	return cmd
}

// Subscribe opens no connection. asynq's only subscription is for orders to cancel its tasks, on which it would give up
// the message of a function that still runs; tasks are canceled by [transport.Cancel]. The result comes when the server
// is about to stop, and is closed already: asynq tries again after an error.
func (p *longPoll) Subscribe(ctx context.Context, _ ...string) *redis.PubSub {
	<-p.quit
	sub := p.UniversalClient.Subscribe(ctx) // without a channel it does not connect
	_ = sub.Close()
	return sub
}

// isDequeue recognises asynq's request for the next message by the keys of its script: a queue's pending messages first
// and their leases last.
func isDequeue(keys []string) bool {
	suffixes := []string{":pending", ":paused", ":active", ":lease"}
	if len(keys) != len(suffixes) {
		return false
	}
	for i, suffix := range suffixes {
		if !strings.HasSuffix(keys[i], suffix) {
			return false
		}
	}
	return true
}
