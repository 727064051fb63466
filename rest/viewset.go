package rest

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
)

// Mount is a [ViewSet] of any type: what a plugin lists.
type Mount interface {
	mount(c *compiler)
}

// ViewSet serves the rows of one type under <master>/<plugin>/<Name>/, for example repositories/file/file/: list,
// read, create, update and delete as Pulp does them for the type's master, with labels, and for repositories modify and
// versions.
//
// A field of T is on the wire under its json name, and "-" hides it; doc:"…" describes it in the API document. The tag
// rest:"…" says what requests may give, in words separated by commas:
//
//	required        it cannot be left out; fields of the natural key are required anyway
//	readonly        it is shown and cannot be given
//	default=VALUE   what it is if it is left out
//	min=N           the least number
//	max=N           the greatest length of a text, in characters
//	choices=A|B     the texts that are allowed
//	ref=KIND        what a UUID refers to: a master such as repository, or repositoryversion
//
// A pointer may be null.
type ViewSet[T any] struct {
	// Type is the model that is served. Required.
	Type *models.Type[T]
	// Name is the last part of the path, lowercase. Required.
	Name string
	// Summary describes the resource in the API document, in a few words.
	Summary string
	// Filters are what lists can be narrowed by, besides what the master brings.
	Filters Filters
	// Create is what POST does. Nil is the way of the master: repositories, remotes and guards are created at once,
	// distributions by a task, content that has a field called like a digest on the wire (sha256) as by
	// [SingleArtifact], and other content and publications not at all; see [Publish].
	Create Creator[T]
	// Actions are further operations on one row.
	Actions []Action[T]
}

// view is a compiled ViewSet.
type view struct {
	typ       models.AnyType
	master    models.Master
	name      string
	summary   string
	path      string // below the API's base: "repositories/file/file/"
	op        string // "repositories_file_file"
	tag       string // "Repositories: File"
	model     string // "file.FileRepository"
	class     string // "FileRepository"
	hrefParam string // "file_file_repository_href"
	goType    reflect.Type
	shape     *shape
	columns   []*field // all that a row consists of, also what is not on the wire
	params    []*param
	create    *creation // nil if there is none
	actions   []*action
	list      func(ctx context.Context, db *models.DB, where ...models.Cond) ([]models.Row, error)
	count     func(ctx context.Context, db *models.DB, where ...models.Cond) (int64, error)
}

// compiler turns Mounts into views and collects what is wrong with them.
type compiler struct {
	api      *API
	registry *models.Registry
	plugin   string // whose views or routes are compiled; "" if they are given without a plugin
	faults   []error
}

func (c *compiler) fault(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if c.plugin != "" {
		err = fmt.Errorf("plugin %q: %w", c.plugin, err)
	}
	c.faults = append(c.faults, err)
}

var viewName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

func (vs ViewSet[T]) mount(c *compiler) {
	if vs.Type == nil {
		c.fault("viewset %q: there is no Type; set it to what models.Define returned", vs.Name)
		return
	}
	v := c.newView(vs.Type, vs.Name, vs.Summary)
	if v == nil {
		return
	}
	v.goType = reflect.TypeFor[T]()
	v.list = func(ctx context.Context, db *models.DB, where ...models.Cond) ([]models.Row, error) {
		rows, err := vs.Type.List(ctx, db, where...)
		out := make([]models.Row, len(rows))
		for i, row := range rows {
			out[i] = any(row).(models.Row)
		}
		return out, err
	}
	v.count = vs.Type.Count
	if vs.Create == nil && v.isContent() && len(v.digestFields()) > 0 {
		vs.Create = SingleArtifact[T](nil)
	}
	if vs.Create != nil {
		v.create = vs.Create.compile(v)
	} else {
		v.create = defaultCreation(v)
	}
	if v.create != nil && v.create.single {
		v.shape.single()
	}
	c.checkNames(v)
	v.params = c.listParams(v, vs.Filters)
	for _, act := range vs.Actions {
		if act.build == nil {
			c.fault("viewset %s: an action is empty; make it with rest.Post or rest.Sync", v.path)
			continue
		}
		compiled := act.build(v)
		if !viewName.MatchString(compiled.name) || reservedAction(v, compiled.name) {
			c.fault("viewset %s: an action cannot be named %q; use a lowercase name that the API does not use itself",
				v.path, compiled.name)
			continue
		}
		for _, other := range v.actions {
			if other.name == compiled.name {
				c.fault("viewset %s: there are two actions %q; rename one", v.path, compiled.name)
			}
		}
		for _, err := range compiled.faults {
			c.fault("%w", err)
		}
		v.actions = append(v.actions, compiled)
	}
}

// checkNames finds fields that have the name of a computed member of answers.
func (c *compiler) checkNames(v *view) {
	computed := append(commonExtras(), v.shape.extras()...)
	for _, f := range v.shape.fields {
		digest := v.shape.one && slices.Contains(digestOrder(), hashlib.Algorithm(f.name)) // is shown once
		if f.own && !digest && slices.ContainsFunc(computed, func(e extra) bool { return e.name == f.name }) {
			c.fault("type %q: field %s: answers have a computed member %q already; give the field another json tag",
				v.typ.Name(), v.goType.FieldByIndex(f.index).Name, f.name)
		}
	}
}

func reservedAction(v *view, name string) bool {
	switch name {
	case "set_label", "unset_label":
		return hasLabels(v.master)
	case "modify", "versions":
		return v.master == models.RepositoryMaster
	}
	return false
}

func hasLabels(m models.Master) bool {
	return m != models.PublicationMaster && m != models.ContentGuardMaster
}

func (c *compiler) newView(t models.AnyType, name, summary string) *view {
	if !viewName.MatchString(name) {
		c.fault("viewset of type %q: the name %q is not usable; make it of a-z, 0-9, - and _, beginning with a letter",
			t.Name(), name)
		return nil
	}
	if !c.registry.Has(t) {
		c.fault("viewset %q: type %q is listed by no plugin; add it to Models", name, t.Name())
		return nil
	}
	plugin, typ, _ := strings.Cut(t.Name(), ".")
	v := &view{typ: t, master: t.Master(), name: name, summary: summary}
	v.path = masterPath(v.master) + "/" + plugin + "/" + name + "/"
	v.op = strings.NewReplacer("/", "_", "-", "_").Replace(strings.TrimSuffix(v.path, "/"))
	v.tag = masterTitle(v.master) + ": " + camel(name)
	v.class = camel(typ) + masterClass(v.master)
	v.model, v.hrefParam = plugin+"."+v.class, plugin+"_"+snake(v.class)+"_href"
	if plugin == "core" {
		v.model, v.hrefParam = v.class, snake(v.class)+"_href"
	}
	if v.summary == "" {
		v.summary = strings.ToLower(masterTitle(v.master)) + " of type " + t.Name()
	}
	fields, faults := fieldsOf(c.registry, t)
	for _, err := range faults {
		c.fault("type %q: %w", t.Name(), err)
	}
	v.shape = newShape(v.model, v.master, fields)
	v.shape.locate(c.registry, t)
	v.columns = columnsOf(c.registry, t)
	a := c.api
	prn := plugin + "." + models.PRNModel(t)
	if a.byPath[v.path] != nil || a.byPRN[prn] != nil {
		c.fault("viewset %s: the path or the type %q is served already; mount one ViewSet for each type and name", v.path,
			t.Name())
		return nil
	}
	a.views = append(a.views, v)
	a.byPath[v.path], a.byPRN[prn] = v, v
	if a.byType[v.master] == nil {
		a.byType[v.master] = map[string]*view{}
	}
	a.byType[v.master][t.Name()] = v
	return v
}

// masterPath is the first part of the paths of a master.
func masterPath(m models.Master) string {
	switch m {
	case models.ContentMaster:
		return "content"
	case models.RepositoryMaster:
		return "repositories"
	case models.ContentGuardMaster:
		return "contentguards"
	default:
		return string(m) + "s"
	}
}

func masterTitle(m models.Master) string {
	switch m {
	case models.RepositoryMaster:
		return "Repositories"
	case models.ContentMaster:
		return "Content"
	case models.ContentGuardMaster:
		return "Contentguards"
	default:
		return camel(string(m)) + "s"
	}
}

func masterClass(m models.Master) string {
	if m == models.ContentGuardMaster {
		return "ContentGuard"
	}
	return camel(string(m))
}

// camel turns "rhsm_cert" into "RhsmCert".
func camel(s string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '_' || r == '-' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// snake turns "FileRepository" into "file_repository".
func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// cutType splits the name of a type into plugin and type.
func cutType(name string) (plugin, typ string, ok bool) { return strings.Cut(name, ".") }
