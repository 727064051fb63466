package pulperr

import (
	"errors"
	"fmt"
)

// PublicError is an error whose text was written for clients. It unwraps to its Kind.
type PublicError struct {
	Kind Kind
	Code string // Pulp's error code such as "PLP0003"; empty if there is none
	Text string // complete sentence or phrase for a client; contains no secrets
}

// Public returns an error of kind k whose text may be shown to clients. The arguments are formatted with
// fmt.Sprintf: pass only what the client may see, never another error.
func Public(k Kind, format string, args ...any) error {
	return &PublicError{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// Coded is [Public] with one of Pulp's PLPxxxx error codes, which clients read from a failed task.
func Coded(code string, k Kind, format string, args ...any) error {
	return &PublicError{Kind: k, Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error returns the public text.
func (e *PublicError) Error() string { return e.Text }

// Unwrap returns the kind.
func (e *PublicError) Unwrap() error { return e.Kind }

// PublicText returns the words for clients. It makes PublicError a [Publisher].
func (e *PublicError) PublicText() string { return e.Text }

// ErrorCode returns the PLPxxxx code or "".
func (e *PublicError) ErrorCode() string { return e.Code }

// Publisher is implemented by errors that know which of their words a client may see: [PublicError], and the typed
// errors of this module.
type Publisher interface {
	error
	PublicText() string
}

// ValidationError reports that one field of the input is wrong. It is of kind Invalid.
type ValidationError struct {
	Field  string // name on the wire, for example "relative_path"; empty for the input as a whole
	Reason string // for the client
}

// Error returns the field and the reason.
func (e *ValidationError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Unwrap returns Invalid.
func (e *ValidationError) Unwrap() error { return Invalid }

// PublicText returns the same text as Error.
func (e *ValidationError) PublicText() string { return e.Error() }

// Field returns a [ValidationError] for one field; the reason is formatted with fmt.Sprintf.
func Field(name, format string, args ...any) error {
	return &ValidationError{Field: name, Reason: fmt.Sprintf(format, args...)}
}

// Message returns the words about err that a client may see: the text of the outermost [Publisher] in its tree, else
// the words of its kind. It never returns err.Error() of anything else. A nil error gives "".
func Message(err error) string {
	if err == nil {
		return ""
	}
	// Not err.Error(): a wrapped cause may hold a URL with a password or a path of the server.
	if p, ok := errors.AsType[Publisher](err); ok {
		return p.PublicText()
	}
	return KindOf(err).Error()
}

// Code returns the PLPxxxx code of the outermost error in err's tree that has one, or "".
func Code(err error) string {
	if c, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err); ok {
		return c.ErrorCode()
	}
	return ""
}
