// Package query reads the query of a request for a list: its filters, its order and which page it wants.
package query

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Form is what a value in a query stands for.
type Form uint8

// The forms of values.
const (
	Text Form = iota + 1
	Bool
	Int
	Time
)

// Param is a query parameter of a list.
type Param struct {
	Name    string
	Doc     string
	Form    Form
	Array   bool     // several values with commas between them
	Choices []string // nil allows all
	// Needed refuses an empty value. Other parameters with an empty value count as left out.
	Needed bool
	// Where returns the conditions for a value that is not empty. All of them must hold.
	Where func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error)
}

// Schema describes the values.
func (p *Param) Schema() *openapi3.Schema {
	s := openapi3.NewStringSchema()
	switch p.Form {
	case Bool:
		s = openapi3.NewBoolSchema()
	case Int:
		s = openapi3.NewIntegerSchema()
	case Time:
		s = openapi3.NewDateTimeSchema()
	}
	for _, c := range p.Choices {
		s.Enum = append(s.Enum, c)
	}
	if p.Array {
		return openapi3.NewArraySchema().WithItems(s)
	}
	return s
}

// texts splits the value of a parameter. There is at least one.
func (p *Param) texts(raw string) []string {
	if p.Array {
		return strings.Split(raw, ",")
	}
	return []string{raw}
}

// conds returns the conditions for the value of the parameter, none for an empty one.
func (p *Param) conds(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
	if raw == "" {
		if p.Needed {
			return nil, wire.ListError("No value supplied for " + p.Name + " filter.")
		}
		return nil, nil
	}
	texts := p.texts(raw)
	if n := len(texts); n > maxValues {
		return nil, wire.FieldErrors{p.Name: {fmt.Sprintf("At most %d values are allowed, not %d.", maxValues, n)}}
	}
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	if longest > maxValue {
		return nil, wire.FieldErrors{p.Name: {tooLong(longest)}}
	}
	return p.Where(ctx, db, raw)
}

func tooLong(n int) string {
	return fmt.Sprintf("At most %d bytes are allowed in a value, not %d.", maxValue, n)
}

// Values reads the value of a parameter, or several. There is at least one.
func (p *Param) Values(raw string) ([]any, error) {
	var values []any
	for _, text := range p.texts(raw) {
		v, reason := p.value(text)
		if reason != "" {
			return nil, wire.FieldErrors{p.Name: {reason}}
		}
		values = append(values, v)
	}
	return values, nil
}

func (p *Param) value(text string) (v any, reason string) {
	if models.HasNUL(text) {
		return nil, wire.MsgNUL
	}
	if p.Choices != nil && !slices.Contains(p.Choices, text) {
		return nil, "Select a valid choice. " + wire.Shorten(text) + " is not one of the available choices."
	}
	switch p.Form {
	case Bool:
		b, reasons := wire.Bool(text)
		if reasons != nil {
			return nil, reasons[0]
		}
		return b, ""
	case Int:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, "Enter a number."
		}
		return n, ""
	case Time:
		text = strings.TrimSpace(text)
		t, ok := wire.ParseTime(text)
		if i := strings.LastIndexByte(text, ' '); !ok && i >= 0 {
			t, ok = wire.ParseTime(text[:i] + "+" + text[i+1:]) // a plus that the client did not escape
		}
		if !ok {
			return nil, "Enter a valid date/time."
		}
		return t, ""
	default:
		return text, ""
	}
}
