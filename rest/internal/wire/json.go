package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

var (
	errUTF8     = errors.New("the text is not UTF-8")
	errTrailing = errors.New("there is something after the value")
	errMembers  = fmt.Errorf("there are more than %d members", maxMembers)
	errValues   = fmt.Errorf("there are more than %d values", maxJSONValues)
)

// DecodeJSON reads one JSON value and nothing else, numbers as they are written. members bounds the members of the
// outermost object or array.
func DecodeJSON(raw []byte, members int) (any, error) {
	// encoding/json would replace invalid bytes without an error.
	if !utf8.Valid(raw) {
		return nil, errUTF8
	}
	// The text is measured first: a body of 8 MiB with 700,000 members took 276 MB when it was decoded.
	switch size := measureJSON(raw); {
	case size.values > maxJSONValues:
		return nil, errValues
	case size.members > members:
		return nil, errMembers
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	// A float64 would round whole numbers beyond 2^53.
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	// Decode stops behind the first value and ignores what follows.
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return v, nil
}

// jsonFault describes malformed JSON without quoting it.
func jsonFault(err error) string {
	for _, ours := range []error{errUTF8, errTrailing, errMembers, errValues} {
		if errors.Is(err, ours) {
			return ours.Error()
		}
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "the syntax is wrong"
	}
	return "the value is cut off or too deeply nested"
}

// Unfold decodes a text that holds a JSON object or list, as forms carry them. It returns every other value unchanged.
func Unfold(v any) any {
	text, ok := v.(string)
	if !ok || !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return v
	}
	if parsed, err := DecodeJSON([]byte(text), maxJSONValues); err == nil {
		return parsed
	}
	return v
}

// TypeName returns Python's name of a JSON value's type, which Pulp's messages use.
func TypeName(v any) string {
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

// jsonSize is how much a JSON text holds.
type jsonSize struct {
	values  int // nested ones included; 1 more for each object and array that is not empty
	members int // of the outermost object or array
}

// measureJSON counts what decoding a text would make, without decoding it. Of a text that is not JSON it counts the
// same characters, which decoding would not get beyond.
func measureJSON(raw []byte) jsonSize {
	size := jsonSize{values: 1, members: 1}
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = endOfString(raw, i)
		case '{', '[':
			depth++
			size.values++
		case '}', ']':
			depth--
		case ',':
			size.values++
			if depth == 1 {
				size.members++
			}
		}
	}
	return size
}

// endOfString returns where the string that begins at start ends.
func endOfString(raw []byte, start int) int {
	i := start + 1
	for i < len(raw) && raw[i] != '"' {
		if raw[i] == '\\' {
			i++
		}
		i++
	}
	return i
}
