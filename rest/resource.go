package rest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Resource serves rows without a master at a path of its own: a list with filters, order and pages, and each row. T is
// a bun model, and A a struct that is written as the answer about a row; its tags json and doc describe the answer in
// the API document. Every other operation is an [Action].
type Resource[T, A any] struct {
	// Path is the path of the list below the API's base, with a slash at its end: "exports/". Required.
	Path string
	// Under is the type of the rows that those of T belong to: the resource is served below each of them, as versions are
	// below a repository. Path then goes on from the path of such a row. Its ViewSet comes before the resource in the list
	// of views. Nil is no parent.
	Under models.AnyType
	// Parent is the column of T with the key of the row of Under. Required with Under.
	Parent string
	// Class is the name of one row: "Export". The schema of answers is named after it. Required.
	Class string
	// Title is the name of the resource in the API document. Default: made of the path.
	Title string
	// Alias is the alias that T's table has in statements. Required.
	Alias string
	// Select narrows a statement to the rows that clients may see. Nil: those of the request's domain, which is in the
	// column pulp_domain_id, or with Under all that belong to the row in the path.
	Select func(r *Request[T], sel *bun.SelectQuery) *bun.SelectQuery
	// Render returns the answers about rows, in their order. It reads what belongs to them for all together. Required.
	Render func(ctx context.Context, r *Request[T], rows []*T) ([]A, error)
	// Filters are what lists can be narrowed by, by the name of the query parameter.
	Filters Filters
	// OrderBy are the columns that clients can order lists by.
	OrderBy []string
	// Order is the default order, as a client would ask for it. The last column must be unique. Default "-pulp_id".
	Order []string
	// Actions are the further operations.
	Actions []Action[T]

	core coreResource
}

// coreResource is what only the resources of the core need.
type coreResource struct {
	params  []*query.Param // filters that a [Filter] cannot express
	listed  []models.Cond  // rows that are in lists; each row can be read
	missing string         // class in the answer for a missing row, if it is another one
	answer  reflect.Type   // of answers, if A is any
	extra   []*query.Param // parameters that Render reads
	in      *view          // whose rows the resource is served below; nil is none
}

func (rs Resource[T, A]) mount(c *compiler) {
	if fault := resourceFault(rs.Path, rs.Class, rs.Alias, rs.Render != nil); fault != "" {
		c.fault("resource %q: %s", rs.Path, fault)
		return
	}
	in, fault := rs.parent(c)
	if fault != "" {
		c.fault("resource %q: %s", rs.Path, fault)
		return
	}
	rs.core.in = in
	s := &subject{
		what: "resource " + rs.Path, path: rs.Path, class: rs.Class, href: links.Snake(rs.Class) + "_href",
		row: func(ctx context.Context, q *request) (any, error) { return rs.requested(ctx, q) },
		op:  strings.NewReplacer("/", "_", "-", "_").Replace(strings.TrimSuffix(rs.Path, "/")),
		tag: cmp.Or(rs.Title, links.Camel(strings.TrimSuffix(rs.Path, "/"))),
	}
	rs.core.params = append(rs.core.params, rs.Filters.params(c, "resource "+rs.Path,
		func(column string) string { return rs.Alias + `."` + column + `"` })...)
	key := "{pulp_id}/"
	if in != nil {
		key = in.nest(s)
	}
	answer := rs.Class + "Response"
	if rs.core.answer == nil {
		rs.core.answer = reflect.TypeFor[A]()
	}
	if c.components.NameOf(rs.core.answer) == "" {
		c.components.AddAnswer(answer, rs.core.answer, true)
	}
	what := strings.ReplaceAll(links.Snake(rs.Class), "_", " ")
	article := "a "
	if strings.ContainsAny(what[:1], "aeiou") {
		article = "an "
	}
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: s.path, Entity: s.above, ID: s.op + "_list", Tag: s.tag, Summary: "List " + what + "s",
		Params: parameters(append(rs.core.params, rs.core.extra...)), Columns: rs.OrderBy, Paged: true, Answer: answer,
	}, func(ctx context.Context, q *request) (*reply, error) { return rs.list(ctx, q, rs.core.listed...) }})
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: s.path + key, Entity: s.href, ID: s.op + "_read", Tag: s.tag,
		Summary: "Inspect " + article + what, Params: parameters(rs.core.extra), Sparse: true, Answer: answer,
	}, func(ctx context.Context, q *request) (*reply, error) {
		row, err := rs.requested(ctx, q)
		if err != nil {
			return nil, err
		}
		return rs.answer(ctx, q, row)
	}})
	mountActions(c, s, rs.Actions, func(string) bool { return false })
}

func resourceFault(path, class, alias string, renders bool) string {
	switch {
	case !resourcePath.MatchString(path):
		return "the path is not usable; make it of a-z, 0-9, - and _, with a slash at its end"
	case class == "":
		return "there is no Class; set it to the name of one row"
	case alias == "":
		return "there is no Alias; set it to the alias of the table"
	case !renders:
		return "there is no Render; set it to a function that returns the answers"
	}
	return ""
}

// narrow applies Select or its default.
func (rs Resource[T, A]) narrow(q *request, sel *bun.SelectQuery) *bun.SelectQuery {
	if rs.core.in != nil {
		sel = sel.Where("?.? = ?", bun.Ident(rs.Alias), bun.Ident(rs.Parent), q.parent)
		if rs.Select == nil {
			return sel
		}
		return rs.Select(newRequest[T](q, nil), sel)
	}
	sel = q.visible.apply(sel, rs.Alias)
	if rs.Select != nil {
		return rs.Select(newRequest[T](q, nil), sel)
	}
	return sel.Where("?.pulp_domain_id = ?", bun.Ident(rs.Alias), q.db.Domain().ID)
}

// list answers with a page of the rows that fulfil some conditions besides the client's.
func (rs Resource[T, A]) list(ctx context.Context, q *request, where ...models.Cond) (*reply, error) {
	if err := rs.enter(ctx, q); err != nil {
		return nil, err
	}
	source := query.Source{Params: rs.core.params, Columns: rs.OrderBy, Page: q.opts.PageSize}
	for _, p := range rs.core.extra {
		source.Others = append(source.Others, p.Name)
	}
	l, err := source.Parse(ctx, q.db, q.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	l.Where = append(l.Where, where...)
	var rows []*T
	// One statement is counted and then, with order and limits, read.
	sel := l.Apply(rs.narrow(q, q.db.Bun().NewSelect().Model(&rows)))
	count, err := sel.Clone().Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: count %s: %w", rs.Path, err)
	}
	order := rs.Order
	if order == nil {
		order = []string{query.NewestFirst}
	}
	if err := l.Window(sel, rs.Alias, order...).Scan(ctx); err != nil {
		return nil, fmt.Errorf("rest: list %s: %w", rs.Path, err)
	}
	answers, err := rs.Render(ctx, newRequest[T](q, nil), rows)
	if err != nil {
		return nil, err
	}
	list := make([]any, len(answers))
	for i := range answers {
		list[i] = answers[i]
	}
	return q.page(l, int64(count), list)
}

// requested returns the row that the request's path names.
func (rs Resource[T, A]) requested(ctx context.Context, q *request) (*T, error) {
	class := cmp.Or(rs.core.missing, rs.Class)
	if err := rs.enter(ctx, q); err != nil {
		return nil, err
	}
	param := "pulp_id"
	if rs.core.in != nil {
		param = nestedID
	}
	id, err := q.key(param, class)
	if err != nil {
		return nil, err
	}
	row := new(T)
	err = rs.narrow(q, q.db.Bun().NewSelect().Model(row)).Where("?.pulp_id = ?", bun.Ident(rs.Alias), id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, wire.NotFound(class)
	}
	if err != nil {
		return nil, fmt.Errorf("rest: read %s%s/: %w", rs.Path, id, err)
	}
	return row, nil
}

// answer answers with one row.
func (rs Resource[T, A]) answer(ctx context.Context, q *request, row *T) (*reply, error) {
	answers, err := rs.Render(ctx, newRequest(q, row), []*T{row})
	if err != nil {
		return nil, err
	}
	// Render leaves out rows whose type is not served, and such a row has no path of its own.
	if len(answers) == 0 {
		return nil, wire.NotFound(rs.Class)
	}
	return q.pick(cmp.Or(q.status, http.StatusOK), answers[0])
}
