package rest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
)

// maxLabelTerms is how many terms one pulp_label_select may have.
const maxLabelTerms = 100

// labelParam is pulp_label_select: terms with commas between them, all of which must hold.
func labelParam() *param {
	return &param{
		name: "pulp_label_select", doc: "Filter labels by search string", form: textFilter, needed: true,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			terms := splitTerms(raw)
			if len(terms) > maxLabelTerms {
				return nil, listError(fmt.Sprintf("At most %d search terms are allowed, not %d.", maxLabelTerms, len(terms)))
			}
			var list []cond
			for _, term := range terms {
				c, ok := labelTerm(term)
				if !ok {
					return nil, listError(fmt.Sprintf("Invalid search term: '%s'.", shorten(term)))
				}
				list = append(list, c)
			}
			return list, nil
		},
	}
}

// splitTerms splits at commas that no backslash precedes, and takes the backslashes away.
func splitTerms(raw string) []string {
	var terms []string
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == '\\' && i+1 < len(raw) && raw[i+1] == ',':
			b.WriteByte(',')
			i++
		case raw[i] == ',':
			terms = append(terms, b.String())
			b.Reset()
		default:
			b.WriteByte(raw[i])
		}
	}
	return append(terms, b.String())
}

// labelTerm reads k, !k, k=v, k!=v or k~v. Both databases know the -> and ->> operators.
func labelTerm(term string) (cond, bool) {
	key, negated := strings.CutPrefix(term, "!")
	end := strings.IndexFunc(key, func(r rune) bool { return !labelRune(r) })
	op, value := "", ""
	if end >= 0 {
		op, key = key[end:], key[:end]
	}
	key = strings.TrimSpace(key)
	for _, candidate := range []string{"!=", "=", "~"} {
		if v, ok := strings.CutPrefix(op, candidate); ok {
			op, value = candidate, v
			break
		}
	}
	if key == "" || models.HasNUL(value) || !slices.Contains([]string{"", "!=", "=", "~"}, op) || negated && op != "" {
		return cond{}, false
	}
	const label, has = "m.pulp_labels ->> ?0", "m.pulp_labels -> ?0 IS NOT NULL" // a label may be null
	switch {
	case negated:
		return cond{"NOT (" + has + ")", []any{key}}, true
	case op == "=":
		return cond{label + " = ?1", []any{key, value}}, true
	case op == "!=":
		return cond{"(" + has + " AND COALESCE(" + label + " <> ?1, TRUE))", []any{key, value}}, true
	case op == "~" && value == "":
		return cond{label + " IS NOT NULL", []any{key}}, true
	case op == "~":
		return cond{"REPLACE(LOWER(" + label + "), LOWER(?1), '') <> LOWER(" + label + ")", []any{key, value}}, true
	}
	return cond{has, []any{key}}, true
}
