package rest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An answer that says what is wrong with a request is small, however many faults the request has and whatever text of
// the client they repeat.
const (
	maxFaults    = 100      // reasons in one answer
	maxReason    = 8 << 10  // bytes of one reason
	maxFaultText = 16 << 10 // bytes of all reasons, with the names of their fields
)

// bounded returns the answer without what is too much of it.
func (p *problem) bounded() *problem {
	switch b := p.body.(type) {
	case FieldErrors:
		return &problem{p.status, b.bounded()}
	case detail:
		return &problem{p.status, detail{cut(b.Detail, maxReason)}}
	case []string:
		left := faultBudget{maxFaults, maxFaultText}
		taken := left.take("", b)
		return &problem{p.status, withRest(taken, len(b)-len(taken))}
	}
	return p
}

// bounded returns the first faults, in the order of their fields; [NonField] goes first, and says how many there are
// besides.
func (e FieldErrors) bounded() FieldErrors {
	names := slices.Sorted(maps.Keys(e))
	if i := slices.Index(names, NonField); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, NonField)
	}
	b := make(FieldErrors, min(len(e), maxFaults))
	left := faultBudget{maxFaults, maxFaultText}
	dropped := 0
	for _, name := range names {
		short := shorten(name)
		taken := left.take(short, e[name])
		b.add(short, taken...)
		dropped += len(e[name]) - len(taken)
	}
	b.add(NonField, withRest(nil, dropped)...)
	return b
}

// withRest adds to reasons how many there are besides.
func withRest(reasons []string, more int) []string {
	if more == 0 {
		return reasons
	}
	return append(reasons, fmt.Sprintf("and %d more", more))
}

// faultBudget is what an answer has room for.
type faultBudget struct {
	reasons int
	bytes   int
}

// take returns the first reasons of a field that there is room for.
func (f *faultBudget) take(name string, reasons []string) []string {
	var taken []string
	for _, reason := range reasons {
		reason = cut(reason, maxReason)
		size := len(name) + len(reason)
		if f.reasons == 0 || size > f.bytes {
			break
		}
		f.reasons--
		f.bytes -= size
		taken = append(taken, reason)
	}
	return taken
}

// cut returns text, or its beginning and an ellipsis if it has more than limit bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
