package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// FieldErrors has the reasons why a request is refused, by the names of the fields on the wire; "non_field_errors" is
// the request as a whole. It is of kind Invalid and answered with 400. Of more than 100 reasons, or more than 16 KiB of
// text, the answer has the first ones and the number of the others.
type FieldErrors map[string][]string

// NonField is the key of [FieldErrors] for what concerns no single field.
const NonField = "non_field_errors"

// Error lists the fields of the answer in alphabetical order.
func (e FieldErrors) Error() string {
	e = e.limited()
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

// Add appends the reasons why a field is refused.
func (e FieldErrors) Add(name string, reasons ...string) {
	if len(reasons) > 0 {
		e[name] = append(e[name], reasons...)
	}
}

// OrNil returns e as an error, or nil if it is empty.
func (e FieldErrors) OrNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Limits of an answer that lists faults. They hold however many faults a request has and however much of the client's
// text the reasons repeat.
const (
	maxFaults    = 100      // reasons in one answer
	maxReason    = 8 << 10  // bytes of one reason
	maxFaultText = 16 << 10 // bytes of all reasons, with the names of their fields
)

// limited returns the first faults in the order of their fields. [NonField] comes first and has the number of faults
// that were left out.
func (e FieldErrors) limited() FieldErrors {
	names := slices.Sorted(maps.Keys(e))
	if i := slices.Index(names, NonField); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, NonField)
	}
	b := make(FieldErrors, min(len(e), maxFaults))
	left := faultBudget{maxFaults, maxFaultText}
	dropped := 0
	for _, name := range names {
		// An unknown member has the name that the client gave it, of any length.
		short := Shorten(name)
		taken := left.take(short, e[name])
		b.Add(short, taken...)
		dropped += len(e[name]) - len(taken)
	}
	b.Add(NonField, withRest(nil, dropped)...)
	return b
}

// withRest appends the number of reasons that were left out.
func withRest(reasons []string, more int) []string {
	if more == 0 {
		return reasons
	}
	return append(reasons, fmt.Sprintf("and %d more", more))
}

// faultBudget is the room that an answer has left.
type faultBudget struct {
	reasons int
	bytes   int
}

// take returns the first reasons of a field that fit.
func (f *faultBudget) take(name string, reasons []string) []string {
	var taken []string
	for _, reason := range reasons {
		reason = truncate(reason, maxReason)
		size := len(name) + len(reason)
		// The reasons of a field stay in order, so a shorter one after this one is left out as well.
		if f.reasons == 0 || size > f.bytes {
			break
		}
		f.reasons--
		f.bytes -= size
		taken = append(taken, reason)
	}
	return taken
}

// truncate returns text, or its beginning and an ellipsis if it has more than limit bytes.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// maxQuoted bounds how much of a client's text an error repeats, in bytes.
const maxQuoted = 200

// Shorten truncates text that a client sent to what an error may repeat of it.
func Shorten(text string) string { return truncate(text, maxQuoted) }
