package webserver

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/felixge/httpsnoop"

	"github.com/pulpgo/pulpcore/internal/formfiles"
)

// AccessLog writes one line for each request when it ends: method, path without the query, status, bytes of the body
// that were sent, duration, the client's address, and what handlers add by [AddToAccessLog]. nil and one without a Log
// write no lines.
type AccessLog struct{ Log *slog.Logger }

type accessKey struct{}

// accessLine is the line of a request while it is made.
type accessLine struct {
	mu    sync.Mutex
	attrs []slog.Attr
}

// AddToAccessLog adds to the line of the request that ctx belongs to; without an [AccessLog] it has no effect.
func AddToAccessLog(ctx context.Context, attrs ...slog.Attr) {
	if line, ok := ctx.Value(accessKey{}).(*accessLine); ok {
		line.mu.Lock()
		defer line.mu.Unlock()
		line.attrs = append(line.attrs, attrs...)
	}
}

// Handler returns h with a line for each request. An inner one writes no line of its own.
func (l *AccessLog) Handler(h http.Handler) http.Handler {
	if l == nil || l.Log == nil {
		return h
	}
	h = formfiles.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(accessKey{}) != nil {
			h.ServeHTTP(w, r)
			return
		}
		line := new(accessLine)
		r = r.WithContext(context.WithValue(r.Context(), accessKey{}, line))
		began := time.Now()
		// net/http answers 200 for a handler that sets no status.
		m := httpsnoop.Metrics{Code: http.StatusOK}
		cut := true // by a panic, which net/http answers by cutting the connection
		defer func() { l.write(r, line, &m, time.Since(began), cut) }()
		m.CaptureMetrics(w, func(w http.ResponseWriter) { h.ServeHTTP(w, r) })
		cut = false
	})
}

func (l *AccessLog) write(r *http.Request, line *accessLine, m *httpsnoop.Metrics, took time.Duration, cut bool) {
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", m.Code),
		slog.Int64("bytes", m.Written), slog.Duration("duration", took), slog.String("address", AddressOf(r)),
	}
	if cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	line.mu.Lock()
	defer line.mu.Unlock()
	// The context is canceled when the client leaves. A log handler that heeds it would drop the line.
	l.Log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "request", append(attrs, line.attrs...)...)
}
