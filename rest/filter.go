package rest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// Filters are what a list can be narrowed by, by the name of the query parameter.
type Filters map[string]Filter

// Filter is a kind of query parameter with its lookups: relative_path=x, relative_path__in=x,y and so on. It compares
// the column of the parameter's name unless [Filter.On] names another.
type Filter struct {
	form    filterForm
	column  string
	lookups []string
	choices []string
}

type filterForm uint8

const (
	textFilter filterForm = iota + 1
	boolFilter
	intFilter
	timeFilter
)

// The kinds of filters.
var (
	// Exact compares text.
	Exact = Filter{form: textFilter, lookups: []string{""}}
	// Name compares text in all the ways that Pulp offers for names, except by regular expression.
	Name = Filter{form: textFilter, lookups: []string{
		"", "iexact", "in", "contains", "icontains", "startswith", "istartswith",
	}}
	// Number compares whole numbers; a range is two of them.
	Number = Filter{form: intFilter, lookups: []string{"", "lt", "lte", "gt", "gte", "range", "in", "ne", "isnull"}}
	// Date compares times; a range is two of them.
	Date = Filter{form: timeFilter, lookups: []string{"", "lt", "lte", "gt", "gte", "range", "isnull"}}
	// Bool compares true and false.
	Bool = Filter{form: boolFilter, lookups: []string{""}}
)

// On returns the filter for another column than the one named like the parameter.
func (f Filter) On(column string) Filter {
	f.column = column
	return f
}

// OneOf returns the filter for text that is one of the choices.
func (f Filter) OneOf(choices ...string) Filter {
	f.choices = choices
	return f
}

// cond is a condition of an SQL query.
type cond struct {
	expr string
	args []any
}

// param is a query parameter of a list.
type param struct {
	name    string
	doc     string
	form    filterForm
	array   bool
	choices []string
	needed  bool // an empty value is no value; other parameters count as left out then
	cond    func(ctx context.Context, c *call, raw string) ([]cond, error)
	of      func(ctx context.Context, c *call, raw string) (models.Cond, error) // in place of cond
}

// params returns the parameters of the filter; column is an SQL expression.
func (f Filter) params(name, column string) []*param {
	list := make([]*param, 0, len(f.lookups))
	for _, lookup := range f.lookups {
		p := &param{name: name, form: f.form, choices: f.choices, array: lookup == "in" || lookup == "range"}
		p.doc = "Filter results where " + name + " matches value"
		if lookup != "" {
			p.name += "__" + lookup
			p.doc = "Filter results by " + name + ", " + lookup
		}
		if lookup == "isnull" {
			p.form = boolFilter
		}
		p.cond = func(_ context.Context, _ *call, raw string) ([]cond, error) {
			expr, err := f.compare(p, column, lookup, raw)
			if err != nil {
				return nil, err
			}
			return []cond{expr}, nil
		}
		list = append(list, p)
	}
	return list
}

// compare returns the condition of one lookup. Only functions that both databases have are used.
func (f Filter) compare(p *param, column, lookup, raw string) (cond, error) {
	values, err := p.values(raw)
	if err != nil {
		return cond{}, err
	}
	v := values[0]
	switch lookup {
	case "lt":
		return cond{column + " < ?", []any{v}}, nil
	case "lte":
		return cond{column + " <= ?", []any{v}}, nil
	case "gt":
		return cond{column + " > ?", []any{v}}, nil
	case "gte":
		return cond{column + " >= ?", []any{v}}, nil
	case "ne":
		return cond{"(" + column + " <> ? OR " + column + " IS NULL)", []any{v}}, nil
	case "range":
		if len(values) != 2 {
			return cond{}, FieldErrors{p.name: {"Range query expects two values."}}
		}
		return cond{column + " BETWEEN ? AND ?", values}, nil
	case "in":
		return cond{column + " IN (?)", []any{bun.List(values)}}, nil
	case "isnull":
		if v == true {
			return cond{expr: column + " IS NULL"}, nil
		}
		return cond{expr: column + " IS NOT NULL"}, nil
	case "iexact":
		return cond{"LOWER(" + column + ") = LOWER(?)", []any{v}}, nil
	case "contains":
		return contains(column, v), nil
	case "icontains":
		return cond{"REPLACE(LOWER(" + column + "), LOWER(?), '') <> LOWER(" + column + ")", []any{v}}, nil
	case "startswith":
		return cond{"SUBSTR(" + column + ", 1, LENGTH(?)) = ?", []any{v, v}}, nil
	case "istartswith":
		return cond{"SUBSTR(LOWER(" + column + "), 1, LENGTH(?)) = LOWER(?)", []any{v, v}}, nil
	default:
		return cond{column + " = ?", []any{v}}, nil
	}
}

// contains looks for a text, not empty, within another, upper and lower case apart; SQLite's LIKE cannot.
func contains(column string, v any) cond {
	return cond{"REPLACE(" + column + ", ?, '') <> " + column, []any{v}}
}

// longest returns how many bytes the longest value has.
func (p *param) longest(raw string) int {
	if !p.array {
		return len(raw)
	}
	n := 0
	for part := range strings.SplitSeq(raw, ",") {
		n = max(n, len(part))
	}
	return n
}

// values reads the value of a parameter, or several with commas between them. There is at least one.
func (p *param) values(raw string) ([]any, error) {
	parts := []string{raw}
	if p.array {
		parts = strings.Split(raw, ",")
	}
	values := make([]any, 0, len(parts))
	for _, part := range parts {
		v, reason := p.value(part)
		if reason != "" {
			return nil, FieldErrors{p.name: {reason}}
		}
		values = append(values, v)
	}
	return values, nil
}

func (p *param) value(text string) (v any, reason string) {
	if models.HasNUL(text) {
		return nil, msgNUL
	}
	if p.choices != nil && !slices.Contains(p.choices, text) {
		return nil, "Select a valid choice. " + shorten(text) + " is not one of the available choices."
	}
	switch p.form {
	case boolFilter:
		v, reasons := parseBool(text)
		if reasons != nil {
			return nil, reasons[0]
		}
		return v, ""
	case intFilter:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, "Enter a number."
		}
		return n, ""
	case timeFilter:
		text = strings.TrimSpace(text)
		t, ok := parseTime(text)
		if i := strings.LastIndexByte(text, ' '); !ok && i >= 0 {
			t, ok = parseTime(text[:i] + "+" + text[i+1:]) // a plus that the client did not escape
		}
		if !ok {
			return nil, "Enter a valid date/time."
		}
		return t, ""
	default:
		return text, ""
	}
}

// listParams returns the parameters of a view's list.
func (c *compiler) listParams(v *view, own Filters) []*param {
	a := c.api
	list := a.masterParams(v.master, v.typ.Name())
	seen := map[string]bool{}
	for _, p := range list {
		seen[p.name] = true
	}
	columns := map[string]string{}
	for _, f := range c.registry.Fields(v.typ) {
		columns[f.Column] = `m."` + f.Column + `"`
		if f.Own {
			columns[f.Column] = `d."` + f.Column + `"`
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		f := own[name]
		column := f.column
		if column == "" {
			column = name
		}
		switch {
		case f.form == 0:
			c.fault("viewset %s: filter %q has no kind; use one of this package, as in rest.Exact", v.path, name)
			continue
		case columns[column] == "":
			c.fault("viewset %s: filter %q: there is no column %q; name one by Filter.On", v.path, name, column)
			continue
		}
		for _, p := range f.params(name, columns[column]) {
			if seen[p.name] || isListWord(p.name) {
				c.fault("viewset %s: there are two filters %q; rename or drop this one", v.path, p.name)
			}
			seen[p.name] = true
			list = append(list, p)
		}
	}
	return list
}

func isListWord(name string) bool {
	switch name {
	case "limit", "offset", "ordering", "fields", "exclude_fields":
		return true
	}
	return false
}
