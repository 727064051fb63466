package rest

import (
	"context"
	"maps"
	"slices"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/query"
)

// Filters are what a list can be narrowed by, by the name of the query parameter.
type Filters map[string]Filter

// Filter is a kind of query parameter with its lookups: relative_path=x, relative_path__in=x,y and so on. It compares
// the column of the parameter's name unless [Filter.On] names another.
type Filter struct {
	kind   query.Filter
	column string
	doc    string
	where  func(ctx context.Context, db *models.DB, value string) (models.Cond, error)
}

// ExactFilter compares text.
func ExactFilter() Filter { return Filter{kind: query.TextFilter()} }

// NameFilter compares text in all the ways that Pulp offers for names. Regular expressions have the syntax of package
// regexp. Lookups without regard to case fold all letters, on both databases and whatever their locale is.
func NameFilter() Filter { return Filter{kind: query.NameFilter()} }

// NumberFilter compares whole numbers; a range is two of them.
func NumberFilter() Filter { return Filter{kind: query.NumberFilter()} }

// DateFilter compares times; a range is two of them.
func DateFilter() Filter { return Filter{kind: query.TimeFilter()} }

// BoolFilter compares true and false.
func BoolFilter() Filter { return Filter{kind: query.BoolFilter()} }

// CustomFilter calls where with the text of the parameter, which is not empty, for the condition that rows must fulfil.
// The alias of a master's table is m and that of a type's own columns is d. doc describes the parameter.
func CustomFilter(
	doc string, where func(ctx context.Context, db *models.DB, value string) (models.Cond, error),
) Filter {
	return Filter{doc: doc, where: where}
}

// On returns the filter for another column than the one named like the parameter.
func (f Filter) On(column string) Filter {
	f.column = column
	return f
}

// OneOf returns the filter for text that is one of the choices.
func (f Filter) OneOf(choices ...string) Filter {
	f.kind.Choices = choices
	return f
}

// params returns the parameters of a filter. column is an SQL expression.
func (f Filter) params(name, column string) []*query.Param {
	if f.where == nil {
		return f.kind.Params(name, column)
	}
	return []*query.Param{{
		Name: name, Doc: f.doc, Form: query.Text,
		Where: func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			c, err := f.where(ctx, db, raw)
			return []models.Cond{c}, err
		},
	}}
}

// params returns the parameters of the filters. column returns the expression for a column, or "" if there
// is no such column. seen are parameters that exist already.
func (fs Filters) params(
	c *compiler, what string, column func(string) string, seen ...*query.Param,
) []*query.Param {
	var list []*query.Param
	// The API document and the faults list the parameters in this order, which the map does not keep.
	for _, name := range slices.Sorted(maps.Keys(fs)) {
		f := fs[name]
		if f.column == "" {
			f.column = name
		}
		expr := column(f.column)
		switch {
		case f.where != nil:
		case f.kind.Form == 0:
			c.fault("%s: filter %q has no kind; use one of this package, as in rest.ExactFilter()", what, name)
			continue
		case expr == "":
			c.fault("%s: filter %q: there is no column %q; name one by Filter.On", what, name, f.column)
			continue
		}
		for _, p := range f.params(name, expr) {
			taken := func(o *query.Param) bool { return o.Name == p.Name }
			if query.IsReserved(p.Name) || slices.ContainsFunc(seen, taken) || slices.ContainsFunc(list, taken) {
				c.fault("%s: there are two filters %q; rename or drop this one", what, p.Name)
			}
			list = append(list, p)
		}
	}
	return list
}
