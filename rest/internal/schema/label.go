package schema

import (
	"fmt"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

func parseLabels(v any) (any, []string) {
	v = wire.Unfold(v)
	m, ok := v.(map[string]any)
	if !ok {
		return nil, []string{fmt.Sprintf("Expected a dictionary of items but got type %q.", wire.TypeName(v))}
	}
	labels := make(models.Labels, len(m))
	for key, value := range m {
		labels[key] = nil
		if value != nil {
			text, reasons := wire.Text(value)
			if reasons != nil {
				return nil, reasons
			}
			labels[key] = &text
		}
		if reason := CheckLabel(key, labels[key]); reason != "" {
			return nil, []string{reason}
		}
	}
	return labels, nil
}

// CheckLabel returns the reason why a label is refused, or "".
func CheckLabel(key string, value *string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !LabelRune(r) }) {
		return fmt.Sprintf("Key '%s' contains invalid characters. Only alphanumerics, underscores, spaces, hyphens, "+
			"and dots are allowed.", strings.ReplaceAll(key, "\x00", "�"))
	}
	if value != nil && strings.ContainsAny(*value, "()") {
		return fmt.Sprintf("Key '%s' contains value with parenthesis.", key)
	}
	return ""
}

// LabelRune reports whether a label's key may have a character.
func LabelRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_ .-", r)
}
