package wire

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Append appends the JSON of an answer: byte for byte what encoding/json would write, but that times are written as by
// [Timestamp]. Objects, lists and plain values, which rows consist of, are written without memory of their own for
// each; everything else is left to encoding/json.
func Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case Object:
		return v.appendTo(dst)
	case []any:
		return appendList(dst, v)
	case string:
		return appendString(dst, v)
	case Href:
		return appendString(dst, string(v))
	case *string:
		if v != nil {
			return appendString(dst, *v)
		}
	case bool:
		return strconv.AppendBool(dst, v), nil
	case time.Time:
		return appendTime(dst, v), nil
	case *time.Time:
		if v != nil {
			return appendTime(dst, *v), nil
		}
	case Time:
		return appendTime(dst, time.Time(v)), nil
	case json.Marshaler, encoding.TextMarshaler, json.Number:
	default:
		if out, ok, err := appendPlain(dst, reflect.ValueOf(v)); ok {
			return out, err
		}
	}
	raw, err := json.Marshal(v)
	return append(dst, raw...), err
}

// appendPlain appends a value of a basic kind, or what a pointer to one points at. Of types with methods that make
// JSON there are none here. It returns false for all others.
func appendPlain(dst []byte, v reflect.Value) (out []byte, ok bool, err error) {
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.IsNil():
			return append(dst, "null"...), true, nil
		// A pointer has the methods of its value, so there are none here. A second pointer hides them.
		case v.Elem().Kind() != reflect.Pointer:
			return appendPlain(dst, v.Elem())
		}
	case reflect.String:
		out, err = appendString(dst, v.String())
		return out, true, err
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), true, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10), true, nil
	case reflect.Map:
		if v.Len() == 0 && !v.IsNil() {
			return append(dst, "{}"...), true, nil
		}
	case reflect.Slice:
		if v.Len() == 0 && !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
			return append(dst, "[]"...), true, nil
		}
	}
	return dst, false, nil
}

// appendTo appends the members in order.
func (o Object) appendTo(dst []byte) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendString(dst, m.Name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = Append(dst, m.Value); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendList(dst []byte, list []any) (_ []byte, err error) {
	if list == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	start := len(dst)
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = Append(dst, v); err != nil {
			return dst, err
		}
		if i == 0 {
			// Rows are about as long as the first one. The bound is for a first one that is not.
			dst = slices.Grow(dst, min((len(dst)-start+1)*len(list), 1<<20))
		}
	}
	return append(dst, ']'), nil
}

// appendString appends a text. One with characters that JSON escapes is left to encoding/json, which also escapes
// those of HTML and replaces what is not UTF-8.
func appendString(dst []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, err := json.Marshal(s)
			return append(dst, raw...), err
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"'), nil
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = appendTimestamp(dst, t)
	return append(dst, '"')
}
