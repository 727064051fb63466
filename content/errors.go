package content

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/pulpgo/pulpcore/internal/httpstatus"
	"github.com/pulpgo/pulpcore/pulperr"
)

var (
	errNotFound = pulperr.Public(pulperr.NotFound, "Not Found")
	errNoSource = pulperr.Public(pulperr.NotFound,
		"Distribution is not pointing to a publication, repository, repository version, or remote.")
	errMethod  = pulperr.Public(pulperr.Unsupported, "Method Not Allowed")
	errBadPage = pulperr.Public(pulperr.Invalid, "Bad Request")
	errClosed  = pulperr.Public(pulperr.Unavailable, "Service Unavailable")
)

// writeError answers a request that failed.
func writeError(log *slog.Logger, w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		log.DebugContext(r.Context(), "client went away", "path", r.URL.Path, "err", context.Cause(r.Context()))
		// No client is left that could read the error.
		panic(http.ErrAbortHandler)
	}
	status := statusOf(err)
	text := ""
	if pub, ok := errors.AsType[pulperr.Publisher](err); ok && status < http.StatusInternalServerError {
		text = pub.PublicText()
	}
	switch status {
	case http.StatusInternalServerError:
		log.ErrorContext(r.Context(), "content request failed", "path", r.URL.Path, "err", err)
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		log.WarnContext(r.Context(), "content request failed", "path", r.URL.Path, "err", err)
	case http.StatusUnauthorized:
		// RFC 9110 demands it with a 401: without it a browser does not ask for a password.
		w.Header().Set("WWW-Authenticate", `Basic realm="Pulp"`)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET,HEAD")
	}
	writeStatus(w, status, text)
}

func statusOf(err error) int {
	if errors.Is(err, errMethod) {
		return http.StatusMethodNotAllowed
	}
	// Before the kinds: it wraps errors of other kinds, such as Invalid for wrong bytes, which would be a 400.
	if up, ok := errors.AsType[*upstreamError](err); ok {
		return up.status
	}
	kind := pulperr.KindOf(err)
	switch kind {
	case pulperr.Exists, pulperr.Conflict, pulperr.Unsupported:
		// A request for a file does not cause such an error: it comes from the server's own work or from a plugin.
		return http.StatusInternalServerError
	}
	return httpstatus.Of(kind)
}

// writeStatus writes "404: Not Found" or the text in place of the standard one.
func writeStatus(w http.ResponseWriter, status int, text string) {
	if text == "" {
		text = http.StatusText(status)
	}
	body := strconv.Itoa(status) + ": " + text
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Security-Policy", ownPages)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
