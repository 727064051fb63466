package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/secrets"
)

// Parse reads one value of a request and returns it as a Go value that [Field.Assign] takes, nil for null, or the
// reasons why it is refused. A reference comes back as its text, and a list of references as a []string.
func (t Type) Parse(v any) (any, []string) {
	// A form has no null; an empty text stands for it where a text would not be a value.
	if v == nil || v == "" && t.Nullable && t.Form != Text && t.Form != Secret {
		if !t.Nullable {
			return nil, []string{wire.MsgNull}
		}
		return nil, nil
	}
	switch t.Form {
	case Text:
		return t.parseText(v)
	case Secret:
		text, reasons := wire.Text(v)
		if reasons != nil {
			return nil, reasons
		}
		return secrets.NewEncryptedText(text), nil
	case Bool:
		b, reasons := wire.Bool(v)
		if reasons != nil {
			return nil, reasons
		}
		return b, nil
	case Int:
		return t.parseInt(v)
	case Float:
		return t.parseFloat(v)
	case Labels:
		return parseLabels(v)
	case Time:
		text, _ := v.(string)
		at, ok := wire.ParseTime(text)
		if !ok {
			return nil, []string{"Datetime has wrong format. Use one of these formats instead: " +
				"YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."}
		}
		return at, nil
	case Ref:
		text, ok := v.(string)
		if !ok {
			return nil, []string{"Incorrect type. Expected URL string, received " + wire.TypeName(v) + "."}
		}
		return text, nil
	case Refs:
		return parseRefs(v)
	default:
		return t.parseJSON(v)
	}
}

// parseRefs reads the texts of a list of references.
func parseRefs(v any) (any, []string) {
	items, ok := wire.Unfold(v).([]any)
	if !ok {
		return nil, []string{fmt.Sprintf("Expected a list of items but got type %q.", wire.TypeName(v))}
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if texts[i], ok = item.(string); !ok {
			return nil, []string{"Incorrect type. Expected URL string, received " + wire.TypeName(item) + "."}
		}
	}
	return texts, nil
}

func (t Type) parseText(v any) (any, []string) {
	text, reasons := wire.Text(v)
	if reasons != nil {
		return nil, reasons
	}
	if !t.Verbatim {
		// Django REST framework trims texts unless a field forbids it.
		text = strings.TrimSpace(text)
	}
	switch {
	case text == "" && !t.Blank:
		return nil, []string{wire.MsgBlank}
	// varchar of Postgres counts characters.
	case t.MaxLen > 0 && utf8.RuneCountInString(text) > t.MaxLen:
		return nil, []string{fmt.Sprintf("Ensure this field has no more than %d characters.", t.MaxLen)}
	case t.Len > 0 && len(text) != t.Len:
		return nil, []string{fmt.Sprintf("Ensure this field has exactly %d characters.", t.Len)}
	case t.Choices != nil && !slices.Contains(t.Choices, text):
		return nil, []string{fmt.Sprintf("\"%s\" is not a valid choice.", text)}
	}
	return text, nil
}

func (t Type) parseInt(v any) (any, []string) {
	text, ok := wire.Number(v)
	// ParseInt would quote a text of any length in its error.
	if !ok || len(text) > 1000 {
		return nil, []string{"A valid integer is required."}
	}
	// Clients that have no whole numbers send 1.0.
	n, err := strconv.ParseInt(strings.TrimSuffix(text, ".0"), 10, 64)
	if err != nil {
		return nil, []string{"A valid integer is required."}
	}
	if t.Min != nil && float64(n) < *t.Min {
		return nil, []string{fmt.Sprintf("Ensure this value is greater than or equal to %g.", *t.Min)}
	}
	limit := int64(math.MaxInt32) // the columns of the masters are 32 bits wide on Postgres
	if t.Wide {
		limit = math.MaxInt64
	}
	zero := reflect.Zero(t.elem())
	if n > limit || n < -limit || zero.CanInt() && zero.OverflowInt(n) ||
		zero.CanUint() && (n < 0 || zero.OverflowUint(uint64(n))) {
		return nil, []string{fmt.Sprintf("Ensure this value is less than or equal to %d.", limit)}
	}
	return n, nil
}

func (t Type) parseFloat(v any) (any, []string) {
	text, ok := wire.Number(v)
	n, err := strconv.ParseFloat(text, 64)
	// ParseFloat reads NaN and Inf, which no answer in JSON could show.
	if !ok || err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, []string{"A valid number is required."}
	}
	if t.Min != nil && n < *t.Min {
		return nil, []string{fmt.Sprintf("Ensure this value is greater than or equal to %.1f.", *t.Min)}
	}
	return n, nil
}

// parseJSON reads a value into the field's Go type as encoding/json does.
func (t Type) parseJSON(v any) (any, []string) {
	v = wire.Unfold(v)
	if t.Form == List {
		if _, ok := v.([]any); !ok {
			return nil, []string{fmt.Sprintf("Expected a list of items but got type %q.", wire.TypeName(v))}
		}
	}
	// Postgres refuses the character in JSON.
	if hasNUL(v) {
		return nil, []string{wire.MsgNUL}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, []string{"Value must be valid JSON."}
	}
	// encoding/json would leave the zero value in place of a null.
	if hasNull(v, t.elem()) {
		return nil, []string{"Values in it may not be null."}
	}
	out := reflect.New(t.elem())
	d := json.NewDecoder(bytes.NewReader(raw))
	// A member that is misspelled would be dropped without an error.
	d.DisallowUnknownFields()
	if err := d.Decode(out.Interface()); err != nil {
		return nil, []string{"Value must be valid JSON of the documented form."}
	}
	if items, ok := out.Elem().Interface().([]string); ok && t.Choices != nil {
		var reasons []string
		for _, item := range items {
			if !slices.Contains(t.Choices, item) {
				reasons = append(reasons, fmt.Sprintf("\"%s\" is not a valid choice.", item))
			}
		}
		if reasons != nil {
			return nil, reasons
		}
	}
	return out.Elem().Interface(), nil
}

// hasNull looks for items of lists and values of maps that are null where the Go type has no nil.
func hasNull(v any, t reflect.Type) bool {
	if k := t.Kind(); k != reflect.Slice && k != reflect.Map || t == reflect.TypeFor[json.RawMessage]() {
		return false
	}
	elem := t.Elem()
	nullable := elem.Kind() == reflect.Pointer || elem.Kind() == reflect.Interface ||
		elem == reflect.TypeFor[json.RawMessage]()
	null := func(item any) bool { return item == nil && !nullable || item != nil && hasNull(item, elem) }
	switch items := v.(type) {
	case []any:
		return slices.ContainsFunc(items, null)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(items)), null)
	}
	return false
}

// hasNUL looks for NUL characters at any depth, which Postgres refuses in JSON.
func hasNUL(v any) bool {
	switch t := v.(type) {
	case string:
		return models.HasNUL(t)
	case []any:
		return slices.ContainsFunc(t, hasNUL)
	case map[string]any:
		for k, item := range t {
			if models.HasNUL(k) || hasNUL(item) {
				return true
			}
		}
	}
	return false
}
