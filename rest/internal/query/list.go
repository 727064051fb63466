package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/webserver"
)

// MaxPage is the largest number of rows of a page.
const MaxPage = 10000

// Limits of a query. Within them no statement and no answer grows beyond what the databases and clients take.
const (
	maxOffset  = 1 << 40 // rows; more than any table has
	maxOrder   = 20      // terms of ordering
	maxValues  = MaxPage // values of one parameter, as many as a page has rows
	maxValue   = 8192    // bytes of one value
	maxUnknown = 20      // unknown parameters that an answer names
)

// NewestFirst is the order of lists by default. Keys are made in the order of time, and their order is total, so that
// pages neither overlap nor need to sort.
const NewestFirst = "-pulp_id"

// Source is what can be asked of a list.
type Source struct {
	Params  []*Param
	Columns []string // of ordering=; nil is neither ordering nor q
	Others  []string // parameters that another part reads
	Page    int      // rows of a page by default
}

// IsReserved reports whether a parameter has a meaning for every list.
func IsReserved(name string) bool {
	switch name {
	case "limit", "offset", "ordering", "fields", "exclude_fields", "q":
		return true
	}
	return false
}

// List is a parsed request for a page of a list.
type List struct {
	Limit, Offset int
	Where         []models.Cond
	Order         []string // columns; descending with a minus in front
}

// Parse reads a query.
//
// Errors: [wire.FieldErrors] with every parameter that is wrong.
func (s *Source) Parse(ctx context.Context, db *models.DB, raw string) (*List, error) {
	l := &List{Limit: s.Page}
	if raw == "" {
		return l, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, wire.FieldErrors{"errors": {"The query is malformed."}}
	}
	l.readWindow(values)
	faults := wire.FieldErrors{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case name == "ordering" && s.Columns != nil:
			l.readOrder(values[name], s.Columns, faults)
			continue
		case name == "q" && s.Columns != nil:
			conds, err := s.expression(ctx, db, values.Get(name))
			if err := collect(faults, err); err != nil {
				return nil, err
			}
			l.Where = append(l.Where, conds...)
			continue
		case IsReserved(name) && name != "ordering" && name != "q", slices.Contains(s.Others, name):
			continue
		}
		i := slices.IndexFunc(s.Params, func(p *Param) bool { return p.Name == name })
		// A misspelled filter would otherwise return rows that the client did not ask for.
		if i < 0 {
			faults.Add("errors", "Invalid Filter: '"+wire.Shorten(name)+"'")
			if len(faults["errors"]) == maxUnknown {
				return nil, faults
			}
			continue
		}
		if err := collect(faults, l.add(ctx, db, s.Params[i], values[name])); err != nil {
			return nil, err
		}
	}
	return l, faults.OrNil()
}

// collect adds the faults of a parameter to the others, and returns other errors.
func collect(faults wire.FieldErrors, err error) error {
	fe, ok := errors.AsType[wire.FieldErrors](err)
	if !ok {
		return err
	}
	for field, reasons := range fe {
		faults.Add(field, reasons...)
	}
	return nil
}

// readWindow reads limit and offset. A value that is not a number is ignored, as Pulp does.
func (l *List) readWindow(values url.Values) {
	if n, err := strconv.Atoi(values.Get("limit")); err == nil && n > 0 {
		l.Limit = min(n, MaxPage)
	}
	n, err := strconv.Atoi(values.Get("offset"))
	// Atoi returns the largest int then. Adding the limit to it would overflow, and the next page would be the first.
	if errors.Is(err, strconv.ErrRange) && n > 0 {
		n = maxOffset
	}
	l.Offset = min(max(n, 0), maxOffset)
}

// add adds the conditions of a parameter.
func (l *List) add(ctx context.Context, db *models.DB, p *Param, values []string) error {
	// Of a repeated parameter Django takes the last value.
	raw := values[len(values)-1]
	if p.Array {
		raw = strings.Join(values, ",")
	}
	conds, err := p.conds(ctx, db, raw)
	l.Where = append(l.Where, conds...)
	return err
}

func (l *List) readOrder(values, columns []string, faults wire.FieldErrors) {
	terms := strings.Split(strings.Join(values, ","), ",")
	if len(terms) > maxOrder {
		faults.Add("ordering", fmt.Sprintf("At most %d terms are allowed, not %d.", maxOrder, len(terms)))
		return
	}
	for _, term := range terms {
		switch {
		case term == "":
		case slices.Contains(columns, strings.TrimPrefix(term, "-")):
			l.Order = append(l.Order, term)
		default:
			faults.Add("ordering", "Select a valid choice. "+wire.Shorten(term)+" is not one of the available choices.")
		}
	}
}

// Apply adds the conditions to a statement.
func (l *List) Apply(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, w := range l.Where {
		expr, args := w.SQL()
		sel = sel.Where(expr, args...)
	}
	return sel
}

// Window adds order and limits to a statement; fallback decides between rows that the client's order leaves equal.
// alias is the table's.
func (l *List) Window(sel *bun.SelectQuery, alias string, fallback ...string) *bun.SelectQuery {
	for _, column := range slices.Concat(l.Order, fallback) {
		name, descending := strings.CutPrefix(column, "-")
		direction := bun.Safe("ASC")
		if descending {
			direction = "DESC"
		}
		// readOrder takes listed columns only, so no text of a client gets into the statement.
		sel = sel.OrderExpr("? ?", bun.Safe(alias+`."`+name+`"`), direction)
	}
	return sel.Limit(int64(l.Limit)).Offset(int64(l.Offset))
}

// Conds returns the request as conditions for [models.Type.List].
func (l *List) Conds(more ...models.Cond) []models.Cond {
	return slices.Concat(l.Where, more, []models.Cond{
		models.OrderBy(append(slices.Clone(l.Order), NewestFirst)...), models.Limit(l.Limit), models.Offset(l.Offset),
	})
}

// Answer returns a page of count rows.
func (l *List) Answer(r *http.Request, count int64, results []any) wire.Object {
	var next, previous *string
	if results == nil {
		// A null instead of a list would break clients that walk through it.
		results = []any{}
	}
	if int64(l.Offset+l.Limit) < count {
		next = l.pageURL(r, l.Offset+l.Limit)
	}
	if l.Offset > 0 {
		previous = l.pageURL(r, l.Offset-l.Limit)
	}
	return wire.Object{
		{Name: "count", Value: count},
		{Name: "next", Value: next},
		{Name: "previous", Value: previous},
		{Name: "results", Value: results},
	}
}

func (l *List) pageURL(r *http.Request, offset int) *string {
	values := r.URL.Query()
	values.Set("limit", strconv.Itoa(l.Limit))
	// Django REST framework leaves the offset out of the link to the first page.
	values.Del("offset")
	if offset > 0 {
		values.Set("offset", strconv.Itoa(offset))
	}
	// The host is one of the server's: requests for other hosts have been refused.
	u := url.URL{Scheme: webserver.SchemeOf(r), Host: r.Host, Path: r.URL.Path, RawQuery: values.Encode()}
	return new(u.String())
}
