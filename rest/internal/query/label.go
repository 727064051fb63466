package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// maxLabelTerms is how many terms one pulp_label_select may have.
const maxLabelTerms = 100

// LabelParam returns pulp_label_select: terms with commas between them, all of which must hold.
func LabelParam() *Param {
	return &Param{
		Name: "pulp_label_select", Doc: "Filter labels by search string", Form: Text, Needed: true,
		Where: func(_ context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			terms := splitTerms(raw)
			if len(terms) > maxLabelTerms {
				return nil, wire.ListError(
					fmt.Sprintf("At most %d search terms are allowed, not %d.", maxLabelTerms, len(terms)))
			}
			var list []models.Cond
			for _, term := range terms {
				c, ok := labelTerm(db, term)
				if !ok {
					return nil, wire.ListError(fmt.Sprintf("Invalid search term: '%s'.", wire.Shorten(term)))
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
func labelTerm(db *models.DB, term string) (models.Cond, bool) {
	key, negated := strings.CutPrefix(term, "!")
	end := strings.IndexFunc(key, func(r rune) bool { return !schema.LabelRune(r) })
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
		return models.Cond{}, false
	}
	const label, has = "m.pulp_labels ->> ?0", "m.pulp_labels -> ?0 IS NOT NULL" // a label may be null
	switch {
	case negated:
		return models.Where("NOT ("+has+")", key), true
	case op == "=":
		return models.Where(label+" = ?1", key, value), true
	// A label that is null differs from every value, but in SQL a comparison with null is null.
	case op == "!=":
		return models.Where("("+has+" AND COALESCE("+label+" <> ?1, TRUE))", key, value), true
	// Every text contains the empty one, but REPLACE of an empty text changes no label.
	case op == "~" && value == "":
		return models.Where(label+" IS NOT NULL", key), true
	case op == "~" && !isASCII(value):
		re, err := sqldialect.FoldedText(value, false, false)
		if err != nil {
			return models.Cond{}, false
		}
		operator, pattern := db.Conn().Kind.Matches(re)
		return models.Where(label+" "+operator+" ?1", key, pattern), true
	case op == "~":
		return models.Where("REPLACE(LOWER("+label+"), LOWER(?1), '') <> LOWER("+label+")", key, value), true
	}
	return models.Where(has, key), true
}
