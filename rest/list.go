package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/webserver"
)

// listQuery is a parsed request for a list.
type listQuery struct {
	limit, offset int
	where         []cond
	typed         []models.Cond
	order         []string // columns; with a minus in front descending
}

// page is the answer to a list request.
type page struct {
	Count    int64    `json:"count"`
	Next     *string  `json:"next"`
	Previous *string  `json:"previous"`
	Results  []object `json:"results"`
}

// readList parses the query of a list. columns are what it can be ordered by.
func (c *call) readList(ctx context.Context, params []*param, columns []string, others ...string) (*listQuery, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, FieldErrors{"errors": {"The query is malformed."}}
	}
	q := &listQuery{limit: c.api.opts.PageSize}
	if n, err := strconv.Atoi(values.Get("limit")); err == nil && n > 0 {
		q.limit = min(n, maxPageSize)
	}
	if n, err := strconv.Atoi(values.Get("offset")); n > 0 { // or the largest number, if it is too large for an int
		if err != nil || n > maxOffset {
			n = maxOffset
		}
		q.offset = n
	}
	faults := FieldErrors{}
	for _, name := range slices.Sorted(keysOf(values)) {
		if name == "ordering" && columns != nil {
			q.order = c.readOrder(values[name], columns, faults)
			continue
		}
		if isListWord(name) && name != "ordering" || slices.Contains(others, name) {
			continue
		}
		i := slices.IndexFunc(params, func(p *param) bool { return p.name == name })
		if i < 0 {
			faults.add("errors", "Invalid Filter: '"+shorten(name)+"'")
			if len(faults["errors"]) == maxListFaults {
				return nil, faults
			}
			continue
		}
		raw := strings.Join(values[name], ",")
		if !params[i].array {
			raw = values[name][len(values[name])-1]
		}
		if raw == "" && !params[i].needed {
			continue // as if it were not there
		}
		err := q.add(ctx, c, params[i], raw)
		if fe, ok := err.(FieldErrors); ok { //nolint:errorlint // ours, never wrapped
			for k, reasons := range fe {
				faults.add(k, reasons...)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return q, faults.orNil()
}

// Bounds of what a query may say; statements and answers stay within them.
const (
	maxOffset     = 1 << 40 // rows; more than any table has
	maxOrder      = 20      // terms of ordering
	maxListValues = 10_000  // values of one parameter, as many as a page has rows
	maxValue      = 8192    // bytes of one value
	maxWords      = 200     // names of fields; more than any answer has
	maxListFaults = 20      // unknown parameters that an answer names
	maxQuoted     = 200     // bytes of the client's text that an answer repeats
)

// shorten cuts text that a client sent to what an error repeats of it.
func shorten(text string) string {
	return cut(text, maxQuoted)
}

// add adds the conditions of a parameter. An empty value is one that the parameter needs.
func (q *listQuery) add(ctx context.Context, c *call, p *param, raw string) error {
	if n := strings.Count(raw, ",") + 1; p.array && n > maxListValues {
		return FieldErrors{p.name: {fmt.Sprintf("At most %d values are allowed, not %d.", maxListValues, n)}}
	}
	if n := p.longest(raw); n > maxValue {
		return FieldErrors{p.name: {fmt.Sprintf("At most %d bytes are allowed in a value, not %d.", maxValue, n)}}
	}
	if raw == "" {
		return listError("No value supplied for " + p.name + " filter.")
	}
	if p.of != nil {
		cond, err := p.of(ctx, c, raw)
		q.typed = append(q.typed, cond)
		return err
	}
	conds, err := p.cond(ctx, c, raw)
	q.where = append(q.where, conds...)
	return err
}

func keysOf(values url.Values) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range values {
			if !yield(k) {
				return
			}
		}
	}
}

func (c *call) readOrder(values, columns []string, faults FieldErrors) []string {
	var order []string
	terms := strings.Split(strings.Join(values, ","), ",")
	if len(terms) > maxOrder {
		faults.add("ordering", fmt.Sprintf("At most %d terms are allowed, not %d.", maxOrder, len(terms)))
		return nil
	}
	for _, text := range terms {
		if text == "" {
			continue
		}
		if !slices.Contains(columns, strings.TrimPrefix(text, "-")) {
			faults.add("ordering", "Select a valid choice. "+shorten(text)+" is not one of the available choices.")
			continue
		}
		order = append(order, text)
	}
	return order
}

// readFields reads what a request says about the fields of the answer.
func (c *call) readFields() error {
	values := c.r.URL.Query()
	faults := FieldErrors{}
	c.only = wordSet("fields", values["fields"], faults)
	c.without = wordSet("exclude_fields", values["exclude_fields"], faults)
	return faults.orNil()
}

func wordSet(name string, values []string, faults FieldErrors) map[string]bool {
	var set map[string]bool
	n := 0
	for _, v := range values {
		for word := range strings.SplitSeq(v, ",") {
			if word = strings.TrimSpace(word); word == "" {
				continue
			}
			if n++; n > maxWords {
				faults.add(name, fmt.Sprintf("At most %d names are allowed.", maxWords))
				return nil
			}
			if set == nil {
				set = map[string]bool{}
			}
			set[word] = true
		}
	}
	return set
}

// apply adds the conditions to a query of bun's.
func (q *listQuery) apply(sel *bun.SelectQuery) *bun.SelectQuery {
	for _, w := range q.where {
		sel = sel.Where(w.expr, w.args...)
	}
	for _, w := range q.typed {
		expr, args := w.SQL()
		sel = sel.Where(expr, args...)
	}
	return sel
}

// window adds order and limits. alias is the table's.
func (q *listQuery) window(sel *bun.SelectQuery, alias string, fallback ...string) *bun.SelectQuery {
	for _, column := range slices.Concat(q.order, fallback) {
		name, descending := strings.CutPrefix(column, "-")
		direction := bun.Safe("ASC")
		if descending {
			direction = "DESC"
		}
		sel = sel.OrderExpr("? ?", bun.Safe(alias+`."`+name+`"`), direction)
	}
	return sel.Limit(int64(q.limit)).Offset(int64(q.offset))
}

// conds returns the conditions for a query of a type.
func (q *listQuery) conds() []models.Cond {
	list := slices.Grow(slices.Clone(q.typed), len(q.where)+3)
	for _, w := range q.where {
		list = append(list, models.Where(w.expr, w.args...))
	}
	return list
}

// answer writes a page.
func (c *call) answerPage(q *listQuery, count int64, results []object) error {
	for i, o := range results {
		results[i] = o.pick(c.only, c.without)
	}
	if results == nil {
		results = []object{}
	}
	p := page{Count: count, Results: results}
	if int64(q.offset+q.limit) < count {
		p.Next = c.pageURL(q, q.offset+q.limit)
	}
	if q.offset > 0 {
		p.Previous = c.pageURL(q, q.offset-q.limit)
	}
	writeJSON(c.w, http.StatusOK, p)
	return nil
}

func (c *call) pageURL(q *listQuery, offset int) *string {
	values := c.r.URL.Query()
	values.Set("limit", strconv.Itoa(q.limit))
	values.Del("offset")
	if offset > 0 {
		values.Set("offset", strconv.Itoa(offset))
	}
	// The host is one of the server's: the guard has refused others.
	u := url.URL{Scheme: webserver.SchemeOf(c.r), Host: c.r.Host, Path: c.r.URL.Path, RawQuery: values.Encode()}
	text := u.String()
	return &text
}

// newestFirst is how lists are ordered by default. Keys are made in the order of time, and the key's order is total, so
// that pages neither overlap nor need to sort.
const newestFirst = "-pulp_id"

// orderColumns are what a list of a view can be ordered by.
func (s *shape) orderColumns() []string {
	list := []string{"pulp_id", "pulp_created", "pulp_last_updated", "pulp_type"}
	for _, f := range s.fields {
		switch f.form {
		case textForm, boolForm, intForm, floatForm, timeForm:
			list = append(list, f.column)
		}
	}
	return list
}

// list answers with the rows of one type.
func (v *view) handleList(ctx context.Context, c *call) error {
	q, err := c.readList(ctx, v.params, v.shape.orderColumns())
	if err != nil {
		return err
	}
	where := append(q.conds(), visible(v.master)...)
	count, err := v.count(ctx, c.db, where...)
	if err != nil {
		return err
	}
	order := models.OrderBy(append(q.order, newestFirst)...)
	where = append(where, order, models.Limit(q.limit), models.Offset(q.offset))
	rows, err := v.list(ctx, c.db, where...)
	if err != nil {
		return err
	}
	results, err := c.api.newRenderer(c.db).rows(ctx, v.shape, rows)
	if err != nil {
		return err
	}
	return c.answerPage(q, count, results)
}

// visible returns the conditions under which rows of a master are shown at all.
func visible(m models.Master) []models.Cond {
	switch m {
	case models.RepositoryMaster:
		return []models.Cond{models.Where("NOT m.user_hidden")}
	case models.PublicationMaster:
		return []models.Cond{models.Where("m.complete")}
	}
	return nil
}
