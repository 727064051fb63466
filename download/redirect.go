package download

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

const maxRedirects = 10

// RedirectError means that a redirect was not followed. It is of kind Unavailable.
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
		// Servers redirect plain http to https on the same host. On other ports a different service may listen.
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
