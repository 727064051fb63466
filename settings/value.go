package settings

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// untyped is a scalar from the environment. Whether 0123 is a number or a password is known only when it is decoded
// into its field.
type untyped string

// plain gives an untyped value the type it looks like, for fields of no type of their own.
func (u untyped) plain() any {
	s := string(u)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	switch strings.ToLower(s) {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	// ParseFloat also reads inf, nan and hexadecimal numbers; in a variable these are texts.
	if f, err := strconv.ParseFloat(s, 64); err == nil && json.Valid([]byte(s)) {
		return f
	}
	return s
}

// typed reads a value of an environment variable: JSON or TOML for lists and maps, dynaconf's @ tokens, else a scalar
// whose type its field decides. merge is true for @merge.
func typed(raw string) (v any, merge bool, err error) {
	token, rest, _ := strings.Cut(raw, " ")
	switch token {
	case "@merge":
		v, err = list(rest)
		return v, true, err
	case "@json":
		v, err = fromJSON(rest)
		return v, false, err
	case "@str":
		return rest, false, nil
	case "@none":
		return nil, false, nil
	// The type of the field decides, so that a wrong number is reported with its key.
	case "@int", "@float", "@bool":
		return untyped(rest), false, nil
	}
	switch s := strings.TrimSpace(raw); {
	case strings.HasPrefix(s, "{"), strings.HasPrefix(s, "["):
		v, err = container(s)
		return v, false, err
	// A text may begin with a quotation mark and be no JSON: it is then the value as it is.
	case strings.HasPrefix(s, `"`):
		if v, err = fromJSON(s); err == nil {
			return v, false, nil
		}
	}
	return untyped(raw), false, nil
}

// list reads the value of @merge: a container, or words between commas.
func list(s string) (any, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		return container(s)
	}
	var out []any
	for word := range strings.SplitSeq(s, ",") {
		out = append(out, untyped(strings.TrimSpace(word)))
	}
	return out, nil
}

func container(s string) (any, error) {
	if v, err := fromJSON(s); err == nil {
		return v, nil
	}
	var doc map[string]any
	// TOML has no value without a key. A second key means that the variable went on after a line break.
	if err := toml.Unmarshal([]byte("v = "+s), &doc); err == nil && len(doc) == 1 {
		return normalize(doc["v"])
	}
	return nil, errors.New("is neither JSON nor TOML; write \"@str \" before a text that starts like this")
}

// fromJSON reads the value of a variable.
func fromJSON(s string) (any, error) {
	var v any
	if err := unmarshalJSON([]byte(s), &v); err != nil {
		// The error of the parser is left out: it quotes a part of the value, which may be a secret.
		return nil, errors.New("is not valid JSON")
	}
	return normalize(v)
}

// unmarshalJSON keeps numbers as they are written.
func unmarshalJSON(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	// A float64 would lose digits of a long number, such as a password of digits.
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	// Decode stops after one value: 1 2 would be read as 1.
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// normalize returns v made of few types: nil, bool, string, untyped, int64, float64, time.Duration, Secret, URL,
// []any and map[string]any. Maps and lists are copied.
func normalize(v any) (any, error) {
	switch x := v.(type) {
	case nil, bool, string, untyped, int64, float64, time.Duration, Secret, URL:
		return x, nil
	case json.Number:
		return untyped(x), nil
	}
	if m, ok := v.(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return string(b), err
	}
	return normalizeKind(reflect.ValueOf(v))
}

func normalizeKind(r reflect.Value) (any, error) {
	switch r.Kind() {
	case reflect.Bool:
		return r.Bool(), nil
	case reflect.String:
		return r.String(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if r.Uint() > math.MaxInt64 {
			return nil, fmt.Errorf("%d is too large", r.Uint())
		}
		return int64(r.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return r.Float(), nil
	case reflect.Pointer, reflect.Interface:
		if r.IsNil() {
			return nil, nil
		}
		return normalize(r.Elem().Interface())
	case reflect.Slice, reflect.Array:
		if r.Kind() == reflect.Slice && r.IsNil() {
			return nil, nil
		}
		out := make([]any, r.Len())
		for i := range out {
			e, err := normalize(r.Index(i).Interface())
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	case reflect.Map:
		return normalizeMap(r)
	case reflect.Struct:
		return structMap(r)
	}
	return nil, fmt.Errorf("a %s cannot be a setting", r.Type())
}

func normalizeMap(r reflect.Value) (any, error) {
	if r.IsNil() {
		return nil, nil
	}
	out := make(map[string]any, r.Len())
	for it := r.MapRange(); it.Next(); {
		v, err := normalize(it.Value().Interface())
		if err != nil {
			return nil, err
		}
		out[fmt.Sprint(it.Key().Interface())] = v
	}
	return out, nil
}

// structMap turns a struct of a section's defaults into a map.
func structMap(r reflect.Value) (any, error) {
	s, faults := schemaOf(r.Type(), "")
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	out := make(map[string]any, len(s.fields))
	for _, f := range s.fields {
		v, err := f.normalize(r)
		if err != nil {
			return nil, err
		}
		out[f.key] = v
	}
	return out, nil
}

// text returns v as it was written if it is a text, else "".
func text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case untyped:
		return string(x)
	}
	return ""
}

// toBool reads the words that dynaconf and YAML take for booleans.
func toBool(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	switch strings.ToLower(text(v)) {
	case "true", "t", "yes", "y", "on", "1":
		return true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, nil
	}
	return false, errors.New("is not true or false")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
