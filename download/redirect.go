package download

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

const maxRedirects = 10

// RedirectError says that a redirect was not followed. It is of kind Unavailable.
type RedirectError struct {
	URL    string // of the answer that redirects, redacted
	Reason string // for a client
}

// Error names the URL and the reason.
func (e *RedirectError) Error() string { return fmt.Sprintf("redirect by %s: %s", e.URL, e.Reason) }

// Unwrap returns pulperr.Unavailable.
func (e *RedirectError) Unwrap() error { return pulperr.Unavailable }

// PublicText returns the same text as Error.
func (e *RedirectError) PublicText() string { return e.Error() }

// get sends the request and follows redirects. Once a redirect has left the origin, credentials are not sent again,
// not even to a host that leads back.
func (t *transfer) get(ctx context.Context, w *watchdog) (*http.Response, error) {
	u, trusted := t.url, true
	for hop := 0; ; hop++ {
		t.final = u.String()
		resp, err := t.send(ctx, w, u, trusted)
		if err != nil {
			return nil, t.fault(err)
		}
		location := resp.Header.Get("Location")
		if location == "" || !isRedirect(resp.StatusCode) {
			return resp, nil
		}
		discard(resp.Body)
		next, err := redirectTarget(u, location)
		if err == nil && hop == maxRedirects {
			err = fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, redact(next))
		}
		if err != nil {
			return nil, &RedirectError{URL: t.redacted(), Reason: err.Error()}
		}
		trusted = trusted && sameOrigin(u, next)
		u = next
	}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func redirectTarget(from *url.URL, location string) (*url.URL, error) {
	next, err := from.Parse(location)
	switch {
	case err != nil:
		return nil, errors.New("the target cannot be parsed") // the cause would quote it
	case next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "":
		return nil, errors.New("the target is not an http or https URL")
	case next.User != nil:
		return nil, errors.New("the target contains credentials")
	}
	next.Fragment, next.RawFragment = "", ""
	return next, nil
}

// sameOrigin reports whether credentials for a may be sent to b: same scheme, host and port, or the same host's
// https instead of its http.
func sameOrigin(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == "http" && b.Scheme == "https" {
		return port(a) == "80" && port(b) == "443"
	}
	return a.Scheme == b.Scheme && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// send makes one request. The rate limit is waited for under ctx, the rest under the watchdog.
func (t *transfer) send(ctx context.Context, w *watchdog, u *url.URL, trusted bool) (*http.Response, error) {
	if t.c.limiter != nil {
		if err := t.c.limiter.Wait(ctx); err != nil {
			return nil, fmt.Errorf("rate limit: %w", err)
		}
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: t.requestHeader(trusted)}
	transport := t.c.anonymous
	if trusted {
		transport = t.c.trusted
		if t.c.host != "" {
			req.Host = t.c.host
		}
	}
	wctx, connected := w.connecting(t.c.cfg.ConnectTimeout)
	defer connected()
	resp, err := transport.RoundTrip(req.WithContext(wctx))
	if err != nil {
		return nil, w.reason(err)
	}
	return resp, nil
}

func (t *transfer) requestHeader(trusted bool) http.Header {
	var h http.Header
	if trusted {
		h = t.c.headers.Clone()
		addHeaders(h, t.req.Header)
	} else {
		h = t.c.neutral.Clone()
		addHeaders(h, onlyNeutral(t.req.Header))
	}
	h.Set("Accept-Encoding", "identity")
	h.Del("Range")
	h.Del("If-Range")
	if t.started {
		h.Set("Range", "bytes="+strconv.FormatInt(t.size, 10)+"-")
		h.Set("If-Range", t.validator)
	}
	return h
}
