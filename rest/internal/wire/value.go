package wire

import (
	"encoding/json"
	"strings"

	"github.com/pulpgo/pulpcore/models"
)

// The messages about a value that Pulp's clients know.
const (
	MsgRequired   = "This field is required."
	MsgNull       = "This field may not be null."
	MsgBlank      = "This field may not be blank."
	MsgUnexpected = "Unexpected field"
	MsgUnique     = "This field must be unique."
	MsgNUL        = "Null characters are not allowed."
	MsgForbidden  = "You do not have permission to perform this action."
)

// IsEmpty reports whether a member of a body is left out, null or an empty text.
func IsEmpty(v any) bool { return v == nil || v == "" }

// Text reads a text as Pulp does: a string, or a number as it is written.
func Text(v any) (string, []string) {
	var text string
	switch t := v.(type) {
	case string:
		text = t
	case json.Number:
		text = t.String()
	default:
		return "", []string{"Not a valid string."}
	}
	// Postgres cannot store the character in a text.
	if models.HasNUL(text) {
		return "", []string{MsgNUL}
	}
	return text, nil
}

// Number returns the text of a number.
func Number(v any) (string, bool) {
	switch t := v.(type) {
	case json.Number:
		return t.String(), true
	case string:
		return strings.TrimSpace(t), true
	}
	return "", false
}

// Bool reads a boolean in the spellings that Pulp knows.
func Bool(v any) (value bool, reasons []string) {
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
	return false, []string{"Must be a valid boolean."}
}
