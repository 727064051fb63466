package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

const (
	msgRequired   = "This field is required."
	msgNull       = "This field may not be null."
	msgBlank      = "This field may not be blank."
	msgUnexpected = "Unexpected field"
	msgUnique     = "This field must be unique."
	msgNUL        = "Null characters are not allowed."
	msgForbidden  = "You do not have permission to perform this action."
)

// parse reads one value of a request, as JSON gave it or as the text of a form, and returns it as a Go value that
// assign takes, nil for null, or the reasons why not. References come back as their text.
func (f *field) parse(v any) (any, []string) {
	if v == nil || (v == "" && f.nullable && f.form != textForm && f.form != secretForm) {
		if !f.nullable {
			return nil, []string{msgNull}
		}
		return nil, nil
	}
	switch f.form {
	case textForm:
		return f.parseText(v)
	case secretForm:
		text, reasons := plainText(v)
		if reasons != nil {
			return nil, reasons
		}
		return secrets.NewEncryptedText(text), nil
	case boolForm:
		return parseBool(v)
	case intForm:
		return f.parseInt(v)
	case floatForm:
		return f.parseFloat(v)
	case labelsForm:
		return parseLabels(v)
	case timeForm:
		text, _ := v.(string)
		t, ok := parseTime(text)
		if !ok {
			return nil, []string{"Datetime has wrong format. Use one of these formats instead: " +
				"YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."}
		}
		return t, nil
	case refForm:
		text, ok := v.(string)
		if !ok {
			return nil, []string{"Incorrect type. Expected URL string, received " + typeName(v) + "."}
		}
		return text, nil
	default:
		return f.parseJSON(v)
	}
}

// plainText accepts what Pulp takes for text: strings, and numbers as they are written.
func plainText(v any) (string, []string) {
	var text string
	switch t := v.(type) {
	case string:
		text = t
	case json.Number:
		text = t.String()
	default:
		return "", []string{"Not a valid string."}
	}
	if models.HasNUL(text) {
		return "", []string{msgNUL}
	}
	return text, nil
}

func (f *field) parseText(v any) (any, []string) {
	text, reasons := plainText(v)
	if reasons != nil {
		return nil, reasons
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, []string{msgBlank}
	case f.maxLen > 0 && utf8.RuneCountInString(text) > f.maxLen:
		return nil, []string{fmt.Sprintf("Ensure this field has no more than %d characters.", f.maxLen)}
	case f.length > 0 && len(text) != f.length:
		return nil, []string{fmt.Sprintf("Ensure this field has exactly %d characters.", f.length)}
	case f.choices != nil && !slices.Contains(f.choices, text):
		return nil, []string{fmt.Sprintf("\"%s\" is not a valid choice.", text)}
	}
	return text, nil
}

func parseBool(v any) (any, []string) {
	switch t := v.(type) {
	case bool:
		return t, nil
	case string:
		switch strings.ToLower(t) {
		case "true", "t", "yes", "y", "on", "1":
			return true, nil
		case "false", "f", "no", "n", "off", "0":
			return false, nil
		}
	case json.Number:
		switch t {
		case "1":
			return true, nil
		case "0":
			return false, nil
		}
	}
	return nil, []string{"Must be a valid boolean."}
}

func (f *field) parseInt(v any) (any, []string) {
	text, ok := numberText(v)
	if !ok || len(text) > 1000 {
		return nil, []string{"A valid integer is required."}
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, ".0"), 10, 64)
	if err != nil {
		return nil, []string{"A valid integer is required."}
	}
	if f.min != nil && float64(n) < *f.min {
		return nil, []string{fmt.Sprintf("Ensure this value is greater than or equal to %g.", *f.min)}
	}
	t := f.goType
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	limit := int64(math.MaxInt32) // the columns of the masters are 32 bits wide on Postgres
	if f.own {
		limit = math.MaxInt64
	}
	if n > limit || n < -limit || reflect.Zero(t).CanInt() && reflect.Zero(t).OverflowInt(n) ||
		reflect.Zero(t).CanUint() && (n < 0 || reflect.Zero(t).OverflowUint(uint64(n))) {
		return nil, []string{fmt.Sprintf("Ensure this value is less than or equal to %d.", limit)}
	}
	return n, nil
}

func (f *field) parseFloat(v any) (any, []string) {
	text, ok := numberText(v)
	n, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, []string{"A valid number is required."}
	}
	if f.min != nil && n < *f.min {
		return nil, []string{fmt.Sprintf("Ensure this value is greater than or equal to %.1f.", *f.min)}
	}
	return n, nil
}

func numberText(v any) (string, bool) {
	switch t := v.(type) {
	case json.Number:
		return t.String(), true
	case string:
		return strings.TrimSpace(t), true
	}
	return "", false
}

// parseLabels reads a map of labels.
func parseLabels(v any) (any, []string) {
	v = unfold(v)
	m, ok := v.(map[string]any)
	if !ok {
		return nil, []string{fmt.Sprintf("Expected a dictionary of items but got type %q.", typeName(v))}
	}
	labels := make(models.Labels, len(m))
	for key, value := range m {
		text, reasons := parseLabelValue(value)
		if reasons != nil {
			return nil, reasons
		}
		if reason := checkLabel(key, text); reason != "" {
			return nil, []string{reason}
		}
		labels[key] = text
	}
	return labels, nil
}

// parseLabelValue reads the value of a label; null is nil.
func parseLabelValue(v any) (*string, []string) {
	if v == nil {
		return nil, nil
	}
	text, reasons := plainText(v)
	return &text, reasons
}

// checkLabel returns what is wrong with a label, or nothing.
func checkLabel(key string, value *string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !labelRune(r) }) {
		return fmt.Sprintf("Key '%s' contains invalid characters. Only alphanumerics, underscores, spaces, hyphens, "+
			"and dots are allowed.", strings.ReplaceAll(key, "\x00", "�"))
	}
	if value != nil && strings.ContainsAny(*value, "()") {
		return fmt.Sprintf("Key '%s' contains value with parenthesis.", key)
	}
	return ""
}

func labelRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_ .-", r)
}

// parseJSON reads a value into the field's Go type as encoding/json does.
func (f *field) parseJSON(v any) (any, []string) {
	v = unfold(v)
	if f.form == listForm {
		if _, ok := v.([]any); !ok {
			return nil, []string{fmt.Sprintf("Expected a list of items but got type %q.", typeName(v))}
		}
	}
	if hasNUL(v) {
		return nil, []string{msgNUL}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, []string{"Value must be valid JSON."}
	}
	t := f.goType
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if hasNull(v, t) {
		return nil, []string{"Values in it may not be null."}
	}
	out := reflect.New(t)
	if err := json.Unmarshal(raw, out.Interface()); err != nil {
		return nil, []string{"Value must be valid JSON of the documented form."}
	}
	return out.Elem().Interface(), nil
}

// hasNull looks for items of lists and values of maps that are null where the Go type has no nil: encoding/json would
// leave the zero value there.
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

// unfold reads the JSON that a form carries as text.
func unfold(v any) any {
	text, ok := v.(string)
	if !ok || !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return v
	}
	if parsed, err := decodeJSON([]byte(text), maxValues); err == nil {
		return parsed
	}
	return v
}

// typeName is what Pulp's messages call the type of a JSON value.
func typeName(v any) string {
	switch t := v.(type) {
	case nil:
		return "NoneType"
	case string:
		return "str"
	case bool:
		return "bool"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return "float"
		}
	}
	return "int"
}

// parseTime reads an ISO 8601 time; without a zone it is UTC, without a time of day midnight. The zone may have a colon
// or not, or be the hours alone: the clients that are generated from the document write +0000.
func parseTime(text string) (time.Time, bool) {
	day, clock, hasClock := text, "", false
	if i := strings.IndexAny(text, "T "); i >= 0 {
		day, clock, hasClock = text[:i], text[i+1:], true
	}
	if !hasClock {
		t, err := time.Parse(time.DateOnly, day)
		return storable(t, err == nil)
	}
	for _, layout := range []string{"15:04:05", "15:04"} { // time.Parse reads a fraction after the seconds
		for _, zone := range []string{"", "Z07:00", "Z0700", "Z07"} {
			if t, err := time.Parse(time.DateOnly+"T"+layout+zone, day+"T"+clock); err == nil {
				return storable(t, true)
			}
		}
	}
	return time.Time{}, false
}

// storable returns a time as the databases keep it: in UTC, with microseconds, of a year with four digits.
func storable(t time.Time, ok bool) (time.Time, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	return t, ok && t.Year() > 0 && t.Year() < 10000
}
