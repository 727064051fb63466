package query

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Filter compares a column in several ways: name=x, name__in=x,y and so on.
type Filter struct {
	Form    Form
	Lookups []string // "" is equality
	Choices []string
}

// TextFilter compares text.
func TextFilter(lookups ...string) Filter {
	return Filter{Form: Text, Lookups: append([]string{""}, lookups...)}
}

// NameFilter compares text in all the ways that Pulp offers for names.
func NameFilter() Filter {
	return TextFilter("iexact", "in", "contains", "icontains", "startswith", "istartswith", "regex", "iregex")
}

// NumberFilter compares whole numbers.
func NumberFilter() Filter {
	return Filter{Form: Int, Lookups: []string{"", "lt", "lte", "gt", "gte", "range", "in", "ne", "isnull"}}
}

// TimeFilter compares times.
func TimeFilter() Filter {
	return Filter{Form: Time, Lookups: []string{"", "lt", "lte", "gt", "gte", "range", "isnull"}}
}

// BoolFilter compares true and false.
func BoolFilter() Filter { return Filter{Form: Bool, Lookups: []string{""}} }

// Params returns the parameters of the filter. column is an SQL expression.
func (f Filter) Params(name, column string) []*Param {
	list := make([]*Param, 0, len(f.Lookups))
	for _, lookup := range f.Lookups {
		p := &Param{Name: name, Form: f.Form, Choices: f.Choices, Array: lookup == "in" || lookup == "range"}
		p.Doc = "Filter results where " + name + " matches value"
		if lookup != "" {
			p.Name += "__" + lookup
			p.Doc = "Filter results by " + name + ", " + lookup
		}
		// Whatever the column holds, the value of isnull is true or false.
		if lookup == "isnull" {
			p.Form = Bool
		}
		p.Where = func(_ context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			values, err := p.Values(raw)
			if err != nil {
				return nil, err
			}
			if lookup == "range" && len(values) != 2 {
				return nil, wire.FieldErrors{p.Name: {"Range query expects two values."}}
			}
			if text, ok := values[0].(string); ok && (matches(lookup) || folds(lookup) && !isASCII(text)) {
				c, reason := match(db, column, lookup, text)
				if reason != "" {
					return nil, wire.FieldErrors{p.Name: {reason}}
				}
				return []models.Cond{c}, nil
			}
			return []models.Cond{compare(column, lookup, values)}, nil
		}
		list = append(list, p)
	}
	return list
}

// matches reports whether the value of a lookup is a regular expression.
func matches(lookup string) bool { return lookup == "regex" || lookup == "iregex" }

// folds reports whether a lookup ignores case.
func folds(lookup string) bool {
	return lookup == "iexact" || lookup == "icontains" || lookup == "istartswith"
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// match returns the condition of a lookup by a regular expression, or the reason why the value is refused. LOWER folds
// other letters than ASCII only on Postgres, and there not in every locale.
func match(db *models.DB, column, lookup, text string) (models.Cond, string) {
	var re *sqldialect.Regexp
	var err error
	if matches(lookup) {
		re, err = sqldialect.ParseRegexp(text, lookup == "iregex")
	} else {
		re, err = sqldialect.FoldedText(text, lookup != "icontains", lookup == "iexact")
	}
	if err != nil {
		return models.Cond{}, "Enter a valid regular expression: " + wire.Shorten(err.Error()) + "."
	}
	operator, pattern := db.Conn().Kind.Matches(re)
	return models.Where(column+" "+operator+" ?", pattern), ""
}

// compare returns the condition of one lookup. It uses only functions that both databases have.
func compare(column, lookup string, values []any) models.Cond {
	v := values[0]
	switch lookup {
	case "lt":
		return models.Where(column+" < ?", v)
	case "lte":
		return models.Where(column+" <= ?", v)
	case "gt":
		return models.Where(column+" > ?", v)
	case "gte":
		return models.Where(column+" >= ?", v)
	case "ne":
		// In SQL a null is neither equal nor unequal. Django's exclude finds rows with a null, too.
		return models.Where("("+column+" <> ? OR "+column+" IS NULL)", v)
	case "range":
		return models.Where(column+" BETWEEN ? AND ?", values...)
	case "in":
		return models.Where(column+" IN (?)", bun.List(values))
	case "isnull":
		if v == true {
			return models.Where(column + " IS NULL")
		}
		return models.Where(column + " IS NOT NULL")
	case "iexact":
		return models.Where("LOWER("+column+") = LOWER(?)", v)
	case "contains":
		// SQLite's LIKE takes upper and lower case for equal, and LIKE takes % and _ in the value for wildcards. REPLACE
		// changes the column only if the value occurs in it.
		return models.Where("REPLACE("+column+", ?, '') <> "+column, v)
	case "icontains":
		return models.Where("REPLACE(LOWER("+column+"), LOWER(?), '') <> LOWER("+column+")", v)
	case "startswith":
		return models.Where("SUBSTR("+column+", 1, LENGTH(?)) = ?", v, v)
	case "istartswith":
		return models.Where("SUBSTR(LOWER("+column+"), 1, LENGTH(?)) = LOWER(?)", v, v)
	default:
		return models.Where(column+" = ?", v)
	}
}

// maxOrphanMinutes is more than any row is old, and little enough to be subtracted from a time.
const maxOrphanMinutes = 100 * 365 * 24 * 60

// OrphanParam narrows a list to rows that no other row uses and that were neither saved nor found for some minutes.
// users selects the rows that use one.
func OrphanParam(alias, users string) *Param {
	p := &Param{Name: "orphaned_for", Doc: "Minutes without a use", Form: Int}
	p.Where = func(_ context.Context, _ *models.DB, raw string) ([]models.Cond, error) {
		values, err := p.Values(raw)
		if err != nil {
			return nil, err
		}
		minutes, _ := values[0].(int64)
		if minutes < 0 || minutes > maxOrphanMinutes {
			return nil, wire.FieldErrors{p.Name: {fmt.Sprintf("Enter a number from 0 to %d.", maxOrphanMinutes)}}
		}
		before := models.Now().Add(-time.Duration(minutes) * time.Minute)
		return []models.Cond{models.Where(alias+".timestamp_of_interest < ? AND NOT EXISTS ("+users+")", before)}, nil
	}
	return p
}
