package wire

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/internal/httpstatus"
	"github.com/pulpgo/pulpcore/internal/login"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Problem is an answer that is not a success, as it goes over the wire.
type Problem struct {
	Status int
	Body   any
}

// Error returns the body as JSON.
func (p *Problem) Error() string {
	b, err := json.Marshal(p.Body)
	if err != nil {
		return http.StatusText(p.Status)
	}
	return string(b)
}

// Unwrap returns the kind of error that the status stands for.
func (p *Problem) Unwrap() error {
	switch p.Status {
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
	case http.StatusTooManyRequests:
		return pulperr.TooMany
	case http.StatusServiceUnavailable:
		return pulperr.Unavailable
	}
	if p.Status >= http.StatusInternalServerError {
		return pulperr.Internal
	}
	return pulperr.Invalid
}

// Detail is the body of most refusals.
type Detail struct {
	Detail string `json:"detail"`
}

// Refuse returns a refusal with a detail.
func Refuse(status int, text string) error { return &Problem{status, Detail{text}} }

// ListError returns a refusal without a field, which Pulp answers as a bare list.
func ListError(text string) error { return &Problem{http.StatusBadRequest, []string{text}} }

// NotFound returns the refusal for a row of a class that does not exist. The class may be empty.
func NotFound(class string) error {
	if class == "" {
		return Refuse(http.StatusNotFound, "Not found.")
	}
	return Refuse(http.StatusNotFound, "No "+class+" matches the given query.")
}

// AsProblem turns any error into its answer. Text that was not written for clients never gets into it.
func AsProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if fe, ok := errors.AsType[FieldErrors](err); ok {
		return &Problem{http.StatusBadRequest, fe}
	}
	if faults := ValidationFaults(err); len(faults) > 0 {
		return &Problem{http.StatusBadRequest, faults}
	}
	// net/http makes this error while a body is read.
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{http.StatusRequestEntityTooLarge, Detail{"The request body is too large."}}
	}
	// An error of another kind was not written for clients; they get the words of its kind.
	kind := pulperr.KindOf(err)
	status := httpstatus.Of(kind)
	switch kind {
	case pulperr.Invalid, pulperr.Unsupported:
		return &Problem{status, []string{pulperr.Message(err)}}
	// Django REST framework reports a duplicate as an invalid field, with 400 and not with 409.
	case pulperr.Exists:
		return &Problem{status, FieldErrors{NonField: {pulperr.Message(err)}}}
	case pulperr.NotFound:
		return &Problem{status, Detail{"Not found."}}
	}
	return &Problem{status, Detail{sentence(pulperr.Message(err))}}
}

// limited returns the answer within the limits of field_errors.go.
func (p *Problem) limited() *Problem {
	switch b := p.Body.(type) {
	case FieldErrors:
		return &Problem{p.Status, b.limited()}
	case Detail:
		return &Problem{p.Status, Detail{truncate(b.Detail, maxReason)}}
	case []string:
		left := faultBudget{maxFaults, maxFaultText}
		taken := left.take("", b)
		return &Problem{p.Status, withRest(taken, len(b)-len(taken))}
	}
	return p
}

// ValidationFaults returns all faults of fields that an error is made of.
func ValidationFaults(err error) FieldErrors {
	faults := FieldErrors{}
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *pulperr.ValidationError:
		if e.Field == "" {
			faults.Add(NonField, e.Reason)
		} else {
			faults.Add(e.Field, e.Reason)
		}
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			for name, reasons := range ValidationFaults(part) {
				faults.Add(name, reasons...)
			}
		}
	case interface{ Unwrap() error }:
		return ValidationFaults(e.Unwrap())
	}
	return faults
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

// WriteError answers a request that failed. It logs statuses from 500 on, which the client did not cause.
func WriteError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	// Errors of all parts pass here, and their reasons may repeat any length of a client's text.
	p := AsProblem(err).limited()
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if errors.Is(err, context.Canceled) {
			level = slog.LevelDebug // the client closed the connection
		}
		log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "status", p.Status,
			"err", err)
	}
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		seconds := 1
		if blocked, ok := errors.AsType[*login.Blocked](err); ok {
			seconds = blocked.Seconds()
		}
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if p.Status == http.StatusUnauthorized {
		// A browser asks for the password because of this header. The realm is that of Django REST framework.
		w.Header().Set("WWW-Authenticate", `Basic realm="api"`)
	}
	WriteJSON(w, p.Status, p.Body)
}
