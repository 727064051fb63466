package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/internal/login"
	"github.com/pulpgo/pulpcore/pulperr"
)

// FieldErrors says what is wrong with the fields of a request, by their names on the wire; "non_field_errors" is the
// request as a whole. It is of kind Invalid and answered with 400. Of more than 100 reasons, or more than 16 KiB of
// text, the answer has the first ones and says how many there are besides.
type FieldErrors map[string][]string

// NonField is the key of [FieldErrors] for what concerns no single field.
const NonField = "non_field_errors"

// Error lists the fields in alphabetical order, as far as an answer tells about them.
func (e FieldErrors) Error() string {
	e = e.bounded()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, name+": "+strings.Join(e[name], " "))
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns pulperr.Invalid.
func (e FieldErrors) Unwrap() error { return pulperr.Invalid }

// PublicText returns the same text as Error.
func (e FieldErrors) PublicText() string { return e.Error() }

func (e FieldErrors) add(name string, reasons ...string) {
	if len(reasons) > 0 {
		e[name] = append(e[name], reasons...)
	}
}

// orNil returns e as an error unless it is empty.
func (e FieldErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// problem is an answer that is not a success, as it goes over the wire.
type problem struct {
	status int
	body   any
}

func (p *problem) Error() string {
	b, err := json.Marshal(p.body)
	if err != nil {
		return http.StatusText(p.status)
	}
	return string(b)
}

func (p *problem) Unwrap() error {
	switch p.status {
	case http.StatusUnauthorized:
		return pulperr.Unauthorized
	case http.StatusForbidden:
		return pulperr.Forbidden
	case http.StatusNotFound:
		return pulperr.NotFound
	case http.StatusConflict:
		return pulperr.Conflict
	case http.StatusRequestEntityTooLarge:
		return pulperr.TooLarge
	}
	return pulperr.Invalid
}

// detail is the body that most refusals have.
type detail struct {
	Detail string `json:"detail"`
}

func refuse(status int, text string) error { return &problem{status, detail{text}} }

// listError is a refusal without a field, which Pulp answers as a bare list.
func listError(text string) error { return &problem{http.StatusBadRequest, []string{text}} }

func notFound(model string) error {
	if model == "" {
		return refuse(http.StatusNotFound, "Not found.")
	}
	return refuse(http.StatusNotFound, "No "+model+" matches the given query.")
}

// asProblem turns any error into its answer. Text that was not written for clients never gets into it.
func asProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if fe, ok := errors.AsType[FieldErrors](err); ok {
		return &problem{http.StatusBadRequest, fe}
	}
	if faults := validationFaults(err); len(faults) > 0 {
		return &problem{http.StatusBadRequest, faults}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{http.StatusRequestEntityTooLarge, detail{"The request body is too large."}}
	}
	kind := pulperr.KindOf(err)
	switch kind {
	case pulperr.Invalid, pulperr.Unsupported:
		return &problem{http.StatusBadRequest, []string{pulperr.Message(err)}}
	case pulperr.Exists:
		return &problem{http.StatusBadRequest, FieldErrors{NonField: {pulperr.Message(err)}}}
	case pulperr.NotFound:
		return &problem{http.StatusNotFound, detail{"Not found."}}
	}
	return &problem{statusOf(kind), detail{sentence(pulperr.Message(err))}}
}

// validationFaults returns all faults of fields that an error is made of.
func validationFaults(err error) FieldErrors {
	faults := FieldErrors{}
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *pulperr.ValidationError:
		if e.Field == "" {
			faults.add(NonField, e.Reason)
		} else {
			faults.add(e.Field, e.Reason)
		}
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			for name, reasons := range validationFaults(part) {
				faults.add(name, reasons...)
			}
		}
	case interface{ Unwrap() error }:
		return validationFaults(e.Unwrap())
	}
	return faults
}

func statusOf(kind pulperr.Kind) int {
	switch kind {
	case pulperr.Conflict:
		return http.StatusConflict
	case pulperr.Unauthorized:
		return http.StatusUnauthorized
	case pulperr.Forbidden:
		return http.StatusForbidden
	case pulperr.TooLarge:
		return http.StatusRequestEntityTooLarge
	case pulperr.TooMany:
		return http.StatusTooManyRequests
	case pulperr.Locked, pulperr.Unavailable, pulperr.Canceled:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// sentence gives the words of a kind the form of the other details.
func sentence(text string) string {
	if text == "" {
		return text
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// writeError answers a request that failed, and logs what is our fault or our backends'.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err).bounded()
	if p.status >= http.StatusInternalServerError {
		level := slog.LevelError
		if errors.Is(err, context.Canceled) {
			level = slog.LevelDebug // the client went away
		}
		a.log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "status", p.status,
			"err", err)
	}
	switch p.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		seconds := 1
		if blocked, ok := errors.AsType[*login.Blocked](err); ok {
			seconds = blocked.Seconds()
		}
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="api"`)
	}
	writeJSON(w, p.status, p.body)
}

// writeJSON answers with a JSON body; clients insist on exactly this content type. A body that cannot be encoded is a
// fault of this package, answered with 500.
func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"detail":"Internal error."}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone if this fails
}
