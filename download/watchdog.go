package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"time"
)

// watchdog cancels one attempt that takes too long or receives no data for too long.
type watchdog struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stops   []context.CancelFunc
	silence *time.Timer
	limit   time.Duration
}

func newWatchdog(ctx context.Context, cfg *Config) *watchdog {
	w := &watchdog{limit: cfg.SockReadTimeout}
	if total := cfg.TotalTimeout; total > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, total, &timeoutError{"not finished", total})
		w.stops = append(w.stops, stop)
	}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.silence = time.AfterFunc(w.limit, func() { w.cancel(&timeoutError{"no data", w.limit}) })
	w.silence.Stop() // it runs while a read waits
	return w
}

func (w *watchdog) stop() {
	w.silence.Stop()
	w.cancel(nil)
	for _, stop := range w.stops {
		stop()
	}
}

// connecting returns the context for one request, which ends if there is no connection in time. The caller calls
// done when the request has an answer.
func (w *watchdog) connecting(limit time.Duration) (ctx context.Context, done func()) {
	if limit <= 0 {
		return w.ctx, func() {}
	}
	timer := time.AfterFunc(limit, func() { w.cancel(&timeoutError{"no connection", limit}) })
	// http.Transport has no timeout that includes the wait for a free connection. GotConn is called for a new connection
	// and for a reused one.
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { timer.Stop() }}
	return httptrace.WithClientTrace(w.ctx, trace), func() { timer.Stop() }
}

// reason returns why an operation under w failed: the watchdog's reason if it was that, else err.
func (w *watchdog) reason(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return cause
	}
	return err
}

// watchedBody is a body whose reads fail when the server sends no data for too long.
type watchedBody struct {
	w    *watchdog
	body io.Reader
	rate int // bytes per second that it must bring on average; less than 0 means any

	got    int64         // in the time below
	waited time.Duration // in reads, since the rate was looked at
}

// rateWindow is how long a body is waited for between two looks at its rate.
const rateWindow = 2 * time.Minute

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.w.ctx.Err() != nil {
		// The rest may be in a buffer already, but the attempt has ended.
		return 0, context.Cause(b.w.ctx)
	}
	began := time.Now()
	// The timer runs only during the read: a sink that is slow to take the bytes is no fault of the server.
	b.w.silence.Reset(b.w.limit)
	n, err := b.body.Read(p)
	b.w.silence.Stop()
	switch {
	case err == nil:
		err = b.pace(n, time.Since(began))
	case !errors.Is(err, io.EOF):
		err = b.w.reason(err)
	}
	return n, err
}

// pace returns an error if the body is slower than it may be.
func (b *watchedBody) pace(n int, waited time.Duration) error {
	b.got += int64(n)
	b.waited += waited
	if b.waited < rateWindow {
		return nil
	}
	// A byte now and then satisfies the read timeout, and would hold a task and its reservations for years.
	slow := float64(b.got) < float64(b.rate)*b.waited.Seconds()
	var err error
	if slow {
		err = &timeoutError{fmt.Sprintf("less than %d bytes per second", b.rate), b.waited}
		b.w.cancel(err)
	}
	b.got, b.waited = 0, 0
	return err
}
