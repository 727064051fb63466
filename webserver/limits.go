// Package webserver has middleware between a network and an http.Handler: [Limits] end connections without progress,
// [Origins] refuse requests that another web site made a browser send, [Proxies] find the client behind reverse
// proxies, [Hosts] refuse other host names, and a [Guard] gives every answer headers that no handler can leave out and
// turns panics into answers.
//
// All of them wrap handlers and work in any server. An App of pulpcore wraps its own handlers with them. A host wraps
// its other handlers itself, or serves them with App.Serve.
//
// Package webserver/proxyconf writes the configurations of reverse proxies in front of an App.
package webserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Defaults of [Limits].
const (
	DefaultHeaderTimeout = 30 * time.Second
	DefaultBodyTimeout   = 30 * time.Second
	DefaultSendTimeout   = 60 * time.Second
	DefaultIdleTimeout   = 120 * time.Second
)

// The bytes that a client has to send within BodyTimeout and to receive within SendTimeout.
const (
	MinBodyProgress = 4 << 10
	MinSendProgress = 64 << 10
)

// maxHeader bounds the header of a request, in bytes. A proxy may pass a client certificate in one.
const maxHeader = 64 << 10

// Limits are how long a client may keep a connection without progress. There is no limit for a whole request or a whole
// answer: an upload or a download lasts as long as its bytes move, and a handler as long as it works. The zero value
// of each field is its default.
type Limits struct {
	// HeaderTimeout is the time for the header of a request. It is up to the server, so [Limits.Handler] does not
	// know it.
	HeaderTimeout time.Duration
	// BodyTimeout is the time in which the next [MinBodyProgress] bytes of a request's body have to arrive, or the
	// rest of it. Only the time that the handler waits for the body counts.
	BodyTimeout time.Duration
	// SendTimeout is the time in which the client has to take the next [MinSendProgress] bytes of the answer. Only the
	// time that the handler waits for the client counts.
	SendTimeout time.Duration
	// IdleTimeout is how long a connection is kept for the next request. It is up to the server, as HeaderTimeout is.
	IdleTimeout time.Duration
}

// Validate reports every limit that is negative.
//
// Errors: Invalid.
func (l *Limits) Validate() error {
	var faults []error
	if l == nil {
		return nil
	}
	for _, limit := range []struct {
		name  string
		value time.Duration
	}{
		{"HeaderTimeout", l.HeaderTimeout},
		{"BodyTimeout", l.BodyTimeout},
		{"SendTimeout", l.SendTimeout},
		{"IdleTimeout", l.IdleTimeout},
	} {
		if limit.value < 0 {
			faults = append(faults, fmt.Errorf("%s is %s; it must be at least 0, which is the default",
				limit.name, limit.value))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("webserver: limits: %w: %w", pulperr.Invalid, err)
	}
	return nil
}

// filled returns l with its defaults.
func (l *Limits) filled() Limits {
	var f Limits
	if l != nil {
		f = *l
	}
	for _, limit := range []struct {
		value *time.Duration
		base  time.Duration
	}{
		{&f.HeaderTimeout, DefaultHeaderTimeout},
		{&f.BodyTimeout, DefaultBodyTimeout},
		{&f.SendTimeout, DefaultSendTimeout},
		{&f.IdleTimeout, DefaultIdleTimeout},
	} {
		if *limit.value <= 0 {
			*limit.value = limit.base
		}
	}
	return f
}

// Server returns a server for h with all limits, also those that no handler can keep. l may be nil.
func (l *Limits) Server(h http.Handler) *http.Server {
	f := l.filled()
	return &http.Server{
		Handler:           l.Handler(h),
		ReadHeaderTimeout: f.HeaderTimeout,
		ReadTimeout:       max(f.HeaderTimeout, f.BodyTimeout), // until the handler begins; it sets its own from then on
		IdleTimeout:       f.IdleTimeout,
		MaxHeaderBytes:    maxHeader,
	}
}

type limitedKey struct{}

// Handler returns h with the limits for bodies and answers. Inside another such handler it is h itself: the outermost
// limits count. l may be nil.
//
// It sets the deadlines of the connection, or with HTTP/2 of the stream, whenever h reads or writes, in place of
// ReadTimeout and WriteTimeout of the server. A deadline that h sets with [http.ResponseController] counts where it is
// earlier. A connection that h hijacks has none.
func (l *Limits) Handler(h http.Handler) http.Handler {
	f := l.filled()
	h = formfiles.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Two wrappers would set deadlines on one connection in turns, and the last one set would count.
		if r.Context().Value(limitedKey{}) != nil {
			h.ServeHTTP(w, r)
			return
		}
		limited := newPacedWriter(w, f.SendTimeout)
		r = r.WithContext(context.WithValue(r.Context(), limitedKey{}, true)) // a copy: the server keeps its own body
		// Without a body net/http reads the next request already. A deadline for reading would end that wait too early.
		if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
			limited.body = newPacedBody(r, limited.rc, f.BodyTimeout)
			r.Body = limited.body
		}
		defer limited.end()
		h.ServeHTTP(limited, r)
	})
}
