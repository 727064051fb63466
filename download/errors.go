package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

var (
	errProxyAuth = errors.New("the proxy refused the credentials")
	errCut       = errors.New("the body ended early")
	errRange     = errors.New("the answer to a range request does not continue what was downloaded")
)

// StatusError is an answer of the source without the file. Its kind is NotFound for 404 and 410, Unauthorized for 401
// and 407, Forbidden for 403, and Unavailable for all others.
type StatusError struct {
	Status     int           // for example 404
	URL        string        // redacted, after redirects
	RetryAfter time.Duration // as asked for by the server, at most a minute; 0 if it named none
}

// Error names the status and the URL.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Unwrap returns the kind.
func (e *StatusError) Unwrap() error {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return pulperr.NotFound
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return pulperr.Unauthorized
	case http.StatusForbidden:
		return pulperr.Forbidden
	}
	return pulperr.Unavailable
}

// PublicText returns the same text as Error.
func (e *StatusError) PublicText() string { return e.Error() }

// ErrorCode returns "PLP0010" if the proxy wants other credentials, else "PLP0025".
func (e *StatusError) ErrorCode() string {
	if e.Status == http.StatusProxyAuthRequired {
		return "PLP0010"
	}
	return "PLP0025"
}

// temporary reports whether asking again may help.
func (e *StatusError) temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// SourceError means that the source could not be reached or that its answer was cut short. It is of kind Unavailable,
// or Unauthorized if the proxy refused the credentials.
type SourceError struct {
	URL string // redacted
	Err error  // the cause; for logs
}

// Error names the URL and the cause.
func (e *SourceError) Error() string { return e.URL + ": " + e.Err.Error() }

// Unwrap returns the kind and the cause.
func (e *SourceError) Unwrap() []error {
	if errors.Is(e.Err, errProxyAuth) {
		return []error{pulperr.Unauthorized, e.Err}
	}
	return []error{pulperr.Unavailable, e.Err}
}

// PublicText names the failure without addresses of this network.
func (e *SourceError) PublicText() string {
	switch e.ErrorCode() {
	case "PLP0005":
		return "timeout while downloading " + e.URL
	case "PLP0008":
		return "the host of " + e.URL + " cannot be resolved"
	case "PLP0010":
		return "the proxy refused the credentials for " + e.URL + ": 407 Proxy Authentication Required"
	case "PLP0026":
		if cert, ok := errors.AsType[*tls.CertificateVerificationError](e.Err); ok {
			return "the certificate for " + e.URL + " is not accepted: " + cert.Err.Error()
		}
		return "the TLS connection for " + e.URL + " failed"
	}
	if errors.Is(e.Err, errCoding) {
		return "the body that " + e.URL + " sent does not match its Content-Encoding"
	}
	return "the connection for " + e.URL + " failed or was cut"
}

// ErrorCode returns Pulp's code for a timeout (PLP0005), a name that cannot be resolved (PLP0008), a proxy's refusal
// (PLP0010), a TLS fault (PLP0026) or any other fault of the connection (PLP0027).
func (e *SourceError) ErrorCode() string {
	if errors.Is(e.Err, errProxyAuth) {
		return "PLP0010"
	}
	// A resolver that does not answer is a timeout and does not mean that the name does not exist.
	if dns, ok := errors.AsType[*net.DNSError](e.Err); ok && !dns.IsTimeout {
		return "PLP0008"
	}
	if n, ok := errors.AsType[net.Error](e.Err); ok && n.Timeout() {
		return "PLP0005"
	}
	if isTLS(e.Err) {
		return "PLP0026"
	}
	return "PLP0027"
}

func isTLS(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	// Many errors of crypto/tls are plain texts without a type of their own.
	return verify || record || alert || strings.Contains(err.Error(), "tls: ")
}

// fileError names the file that a fault of its bytes belongs to. Its kind and code are those of the fault.
type fileError struct {
	url string // redacted
	err error
}

// Error names the URL and the fault.
func (e *fileError) Error() string { return e.url + ": " + e.err.Error() }

// Unwrap returns the fault.
func (e *fileError) Unwrap() error { return e.err }

// PublicText names the URL and what the client may know of the fault.
func (e *fileError) PublicText() string { return e.url + ": " + pulperr.Message(e.err) }

// mismatch reports whether err means that the bytes differ from the expectation.
func mismatch(err error) bool {
	_, size := errors.AsType[*hashlib.SizeMismatchError](err)
	_, digest := errors.AsType[*hashlib.DigestMismatchError](err)
	return size || digest
}

// timeoutError is one of our own limits.
type timeoutError struct {
	what  string
	limit time.Duration
}

func (e *timeoutError) Error() string { return fmt.Sprintf("%s for %v", e.what, e.limit) }
func (e *timeoutError) Timeout() bool { return true }

// Temporary belongs to net.Error.
func (e *timeoutError) Temporary() bool { return true }

// callerError keeps a fault of the caller's sink or function apart from the source's: it is no reason to retry.
type callerError struct {
	doing string
	err   error
}

func (e *callerError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

// stopped returns the error for a done ctx.
func stopped(ctx context.Context) error {
	// A deadline that passed is a fault that may not occur again; a canceled context is a decision of the caller.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", pulperr.Unavailable, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", pulperr.Canceled, context.Cause(ctx))
}

// Redact returns rawURL fit for logs and clients: without credentials, without fragment, and with the values of its
// query hidden, since signed URLs carry their secret there.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parse error quotes the URL, which may contain a password, so neither is shown.
		return "(unreadable URL)"
	}
	return redact(u)
}

func redact(u *url.URL) string {
	r := *u
	r.User, r.Fragment, r.RawFragment = nil, "", ""
	if r.RawQuery != "" {
		parts := strings.Split(r.RawQuery, "&")
		for i, part := range parts {
			name, _, hasValue := strings.Cut(part, "=")
			if hasValue {
				parts[i] = name + "=…"
			} else {
				parts[i] = "…" // a token may stand alone
			}
		}
		r.RawQuery = strings.Join(parts, "&")
	}
	return r.String()
}
