package rest

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/hook"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// View is a [ViewSet] or a [Resource] of any type: what a plugin lists.
type View interface {
	mount(c *compiler)
}

// ViewSet serves the rows of one type under <master>/<plugin>/<Name>/, for example repositories/file/file/: list,
// read, create, update and delete as Pulp does them for the type's master, with labels, and for repositories modify and
// versions. The fields of T are on the wire as the package's documentation describes.
type ViewSet[T any] struct {
	// Type is the model that is served. Required.
	Type *models.Type[T]
	// Name is the last part of the path, lowercase. Required.
	Name string
	// Class is what the API document and the clients made from it call the resource. Default: the type and the master, as
	// in FileRepository.
	Class string
	// Summary describes the resource in the API document, in a few words.
	Summary string
	// Filters are what lists can be narrowed by, besides what the master brings.
	Filters Filters
	// Members are further members of answers that are computed.
	Members []Member[T]
	// Create is what POST does. The zero value is the way of the master: repositories, remotes and guards are created at
	// once, distributions by a task, content that has a field called like a digest on the wire (sha256) as by
	// [SingleArtifact], and other content and publications not at all; see [Create] and [Publish].
	Create Creator[T]
	// Update reads further fields from PUT and PATCH and is called with them. The zero value reads none.
	Update Updater[T]
	// ReadOnly leaves out update, delete, labels and a repository's modify, and create unless Create is set: rows are
	// listed and read, and changed by Actions and tasks only.
	ReadOnly bool
	// Actions are further operations on one row or on the list.
	Actions []Action[T]
}

// view is a compiled ViewSet.
type view struct {
	subject
	summary  string
	readOnly bool
	answers  *rowSchema
	columns  []*schema.Field // of a new row, on the wire or not
	create   *creation       // nil if there is none
	updating *updating
	newRow   func() models.Row
	list     func(ctx context.Context, db *models.DB, where ...models.Cond) ([]models.Row, error)
	count    func(ctx context.Context, db *models.DB, where ...models.Cond) (int64, error)
}

var (
	viewName     = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	resourcePath = regexp.MustCompile(`^([a-z][a-z0-9_-]*/)+$`)
)

func (vs ViewSet[T]) mount(c *compiler) {
	if vs.Type == nil {
		c.fault("viewset %q: there is no Type; set it to what models.Define returned", vs.Name)
		return
	}
	v := c.newView(vs.Type, vs.Name, vs.Class)
	if v == nil {
		return
	}
	v.summary = cmp.Or(vs.Summary, v.summary)
	v.readOnly = vs.ReadOnly
	v.list = func(ctx context.Context, db *models.DB, where ...models.Cond) ([]models.Row, error) {
		rows, err := vs.Type.List(ctx, db, where...)
		out := make([]models.Row, len(rows))
		for i, row := range rows {
			out[i], _ = any(row).(models.Row)
		}
		return out, err
	}
	v.count = vs.Type.Count
	// Content with a digest on the wire can only be created from a file.
	digests := v.master.Master == models.ContentMaster && len(digestFields(v.answers.fields)) > 0
	switch {
	case vs.Create.compile != nil:
		v.create = vs.Create.compile(v)
	case vs.ReadOnly:
	case digests:
		v.create = SingleArtifact[T](nil).compile(v)
	default:
		v.create = rowWriter{v}.creation()
	}
	if v.create != nil {
		for _, err := range v.create.faults {
			c.fault("%s: create: %w", v.what, err)
		}
	}
	v.updating = vs.Update.of(c, v)
	own := make([]member, len(vs.Members))
	for i, m := range vs.Members {
		own[i] = m.member
	}
	// The members of content depend on how it is created, so they are known only now.
	v.answers.single = v.create != nil && v.create.single || v.create == nil && digests
	v.answers.setMembers(own...)
	v.checkNames(c, reflect.TypeFor[T]())
	v.mount(c, vs.Filters)
	if v.master.labels != nil && !v.readOnly {
		mountLabels[T](c, v)
	}
	if v.master.Master == models.RepositoryMaster {
		if !v.readOnly {
			modify[T]().build(&v.subject).mount(c)
		}
		(&versionsOf{v, versions(c.refs())}).mount(c)
	}
	mountActions(c, &v.subject, vs.Actions, v.reserves)
}

// reserves reports whether a name is that of an action that the master has.
func (v *view) reserves(name string) bool {
	switch name {
	case "set_label", "unset_label":
		return v.master.Labels
	case "modify", "versions":
		return v.master.Master == models.RepositoryMaster
	}
	return false
}

// checkNames finds fields and members that have the name of a computed member of answers.
func (v *view) checkNames(c *compiler, t reflect.Type) {
	seen := map[string]bool{}
	for _, m := range commonMembers() {
		seen[m.Name] = true
	}
	for _, m := range v.answers.members {
		// wire.Object would write the name twice, and clients differ in which of the two values they keep.
		if seen[m.Name] {
			c.fault("viewset %s: answers have two members %q; rename or drop one", v.path, m.Name)
		}
		seen[m.Name] = true
	}
	for _, f := range v.answers.fields {
		if f.Own && seen[f.Name] && !v.answers.showsDigest(f) {
			c.fault("type %q: field %s: answers have a computed member %q already; give the field another json tag",
				v.typ.Name(), f.In(t), f.Name)
		}
	}
}

// newView describes a viewset, or returns nil after a fault without which no other check makes sense.
func (c *compiler) newView(t models.AnyType, name, class string) *view {
	if !viewName.MatchString(name) {
		c.fault("viewset of type %q: the name %q is not usable; make it of a-z, 0-9, - and _, beginning with a letter",
			t.Name(), name)
		return nil
	}
	if !c.registry.Has(t) {
		c.fault("viewset %q: type %q is listed by no plugin; add it to Models", name, t.Name())
		return nil
	}
	m := c.masters[t.Master()]
	plugin, typ, _ := strings.Cut(t.Name(), ".")
	v := &view{summary: strings.ToLower(m.Title) + " of type " + t.Name(), newRow: t.New}
	v.master, v.path = m, m.Path+plugin+"/"+name+"/"
	v.what = "viewset " + v.path
	v.op = strings.NewReplacer("/", "_", "-", "_").Replace(strings.TrimSuffix(v.path, "/"))
	v.tag = m.Title + ": " + links.Camel(name)
	v.class = cmp.Or(class, links.Camel(typ)+m.Class)
	// The generated bindings name their classes and parameters after these. Pulp has no prefix for types of the core.
	if plugin != "core" {
		v.plugin, v.href = plugin+".", plugin+"_"
	}
	v.href += links.Snake(v.class) + "_href"
	v.row = func(ctx context.Context, q *request) (any, error) { return v.requested(ctx, q) }
	fields, faults := schema.FieldsOf(c.registry, t)
	faults = append(faults, hook.Faults(reflect.TypeOf(t.New()), reflect.TypeFor[FileInitializer](),
		reflect.TypeFor[ContextValidator]())...)
	for _, err := range faults {
		c.fault("type %q: %w", t.Name(), err)
	}
	v.answers = &rowSchema{model: v.plugin + v.class, master: m, fields: fields}
	v.columns = schema.ColumnsOf(c.registry, t)
	v.typ = &links.Type{AnyType: t, Kind: m.Kind, Path: v.path}
	// Links lead to one view per type, and requests to one view per path.
	if !c.links.Add(v.typ) {
		c.fault("viewset %s: the path or the type %q is served already; mount one ViewSet for each type and name", v.path,
			t.Name())
		return nil
	}
	c.site.views[v.typ] = v
	return v
}

// mount adds the operations that all rows have.
func (v *view) mount(c *compiler, filters Filters) {
	params := v.master.listParams(c.refs(), false)
	params = append(params, filters.params(c, "viewset "+v.path, v.column(c.registry), params...)...)
	v.answers.describe(c.components)
	answer := v.answers.model + "Response"
	source := query.Source{Params: params, Columns: v.answers.columns(), Page: c.opts.PageSize}
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: v.path, ID: v.op + "_list", Tag: v.tag, Summary: "List " + v.summary,
		Params: parameters(params), Columns: source.Columns, Paged: true, Answer: answer,
	}, func(ctx context.Context, q *request) (*reply, error) { return v.answerList(ctx, q, &source) }})
	row := schema.Operation{Path: v.path + "{pulp_id}/", Entity: v.href, Tag: v.tag, Answer: answer}
	read := row
	read.Method, read.ID, read.Summary, read.Sparse = http.MethodGet, v.op+"_read", "Inspect "+v.summary, true
	c.add(&operation{read, func(ctx context.Context, q *request) (*reply, error) {
		found, err := v.requested(ctx, q)
		if err != nil {
			return nil, err
		}
		return v.answer(ctx, q, http.StatusOK, found)
	}})
	rowWriter{v}.mount(c, row)
}

// column returns the function that finds the expression for a column in lists.
func (v *view) column(r *models.Registry) func(name string) string {
	columns := map[string]string{}
	for _, f := range r.Fields(v.typ.AnyType) {
		columns[f.Column] = `m."` + f.Column + `"`
		if f.Own {
			columns[f.Column] = `d."` + f.Column + `"`
		}
	}
	return func(name string) string { return columns[name] }
}

// answerList answers with a page of rows.
func (v *view) answerList(ctx context.Context, q *request, source *query.Source) (*reply, error) {
	l, err := source.Parse(ctx, q.db, q.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	// The count has no order and no limits: it is the number of rows of all pages.
	visible := slices.Concat(v.master.visible(), q.visible.conds())
	count, err := v.count(ctx, q.db, slices.Concat(l.Where, visible)...)
	if err != nil {
		return nil, err
	}
	rows, err := v.list(ctx, q.db, l.Conds(visible...)...)
	if err != nil {
		return nil, err
	}
	answers, err := v.answers.render(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	return q.page(l, count, answers)
}

// requested returns the row that the request's path names.
func (v *view) requested(ctx context.Context, q *request) (models.Row, error) {
	id, err := q.id(v.class)
	if err != nil {
		return nil, err
	}
	// Rows that lists hide are not found by their hrefs either.
	where := slices.Concat(v.master.visible(), q.visible.conds())
	rows, err := v.list(ctx, q.db, append(where, models.Eq("pulp_id", id), models.Limit(1))...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, wire.NotFound(v.class)
	}
	return rows[0], nil
}

// answer answers with one row.
func (v *view) answer(ctx context.Context, q *request, status int, row models.Row) (*reply, error) {
	answers, err := v.answers.render(ctx, q, []models.Row{row})
	if err != nil {
		return nil, err
	}
	return q.pick(status, answers[0]) // the view serves the row's type, so there is an answer
}
