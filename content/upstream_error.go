package content

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// upstreamError means that no source delivered the file, although it may exist.
type upstreamError struct {
	status int // for the client: 502, 503 or 504
	err    error
}

// Error names the fault.
func (e *upstreamError) Error() string { return e.err.Error() }

// Unwrap returns the fault.
func (e *upstreamError) Unwrap() error { return e.err }

// silentError means that a source did not begin to answer in time, while another one may.
type silentError struct{ limit time.Duration }

// Error names the limit.
func (e *silentError) Error() string {
	return "content: the source did not answer within " + e.limit.String()
}

// Unwrap returns pulperr.Unavailable.
func (e *silentError) Unwrap() error { return pulperr.Unavailable }

// fetchError turns the fault of one source into the error for the client if no other source has the file: 404 if the
// source has no such file or may not be asked, 504 if it was silent, 502 if it could not be reached, broke off or sent
// other bytes, 503 if this server has too much to do.
func fetchError(err error) error {
	status := 0
	source, isSource := errors.AsType[*download.SourceError](err)
	_, isSilent := errors.AsType[*silentError](err)
	_, isStatus := errors.AsType[*download.StatusError](err)
	_, isRedirect := errors.AsType[*download.RedirectError](err)
	switch {
	case errors.Is(err, pulperr.Canceled), errors.Is(err, context.Canceled):
		return err
	case isSilent, isSource && source.ErrorCode() == "PLP0005":
		status = http.StatusGatewayTimeout
	case isSource, isRedirect, isWrong(err), isStatus && !errors.Is(err, pulperr.NotFound):
		status = http.StatusBadGateway
	// The cases above are the faults of remotes. An error that comes here is a limit of this server: no free place for a
	// fetch, no connection, a full work directory.
	case errors.Is(err, pulperr.Unavailable):
		status = http.StatusServiceUnavailable
	default:
		return errors.Join(errNotFound, err)
	}
	return &upstreamError{status, err}
}

// isWrong reports whether a source sent other bytes than promised.
func isWrong(err error) bool {
	_, digest := errors.AsType[*hashlib.DigestMismatchError](err)
	_, size := errors.AsType[*hashlib.SizeMismatchError](err)
	return digest || size
}

// worse returns the fault that the client gets after two sources failed; the first may be nil.
func worse(a, b error) error {
	// The 404 of one source does not prove that the file is gone while another source could not be asked.
	if _, ok := errors.AsType[*upstreamError](a); ok {
		return a
	}
	return b
}
