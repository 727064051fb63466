package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
)

// Action is a further operation on the rows of a [ViewSet] or [Resource], or on the whole collection. [Post], [Do] and
// [Sync] make one.
type Action[T any] struct {
	build func(s *subject) *action
}

// Operation describes how the action of [Do] is called.
type Operation struct {
	// Method is the HTTP method. Default POST.
	Method string
	// Name is the last part of the path, below the row or the collection. Empty is the row or the collection itself.
	Name string
	// Collection makes it an operation on the collection. Default: on one row.
	Collection bool
	// Summary describes it in the API document, in a few words.
	Summary string
	// File allows the body to carry a file; see [Request.Upload].
	File bool
	// Status lists the statuses of answers that are not errors; the first one is the usual one. Default: 202 for
	// [Accepted] and [AcceptedGroup], 204 for [Empty], else 200.
	Status []int

	id    string // last part of the operationId; default Name
	body  string // schema of the body; default made of the class and Name
	noRow bool   // fn reads the row itself
}

// Accepted is the answer of an operation that goes on as a task.
type Accepted struct {
	Task string `json:"task" rest:"required" format:"uri" doc:"The task."` // href
}

// AcceptedGroup is the answer of an operation that goes on as a group of tasks.
type AcceptedGroup struct {
	TaskGroup string `json:"task_group" rest:"required" format:"uri" doc:"The task group."` // href
}

// Empty is the answer without a body, and the input of an operation that takes none.
type Empty struct{}

// Request is what an action works with.
type Request[T any] struct {
	Row   *T             // the row that the path names; nil for an operation on the collection
	DB    *models.DB     // bound to the request's domain
	Queue *tasking.Queue // of the same domain
	Store *storage.Store
	User  *accounts.User // who sent the request
	HTTP  *http.Request

	request *request
	links   *links.Links
	upload  *Upload
}

func newRequest[T any](q *request, row *T) *Request[T] {
	return &Request[T]{
		Row: row, DB: q.db, Queue: q.tasks(), Store: q.store, User: q.user, HTTP: q.r, request: q, links: q.links,
	}
}

// Accept returns the answer for a task that was dispatched.
func (r *Request[T]) Accept(t *tasking.Ticket) *Accepted {
	return &Accepted{Task: r.links.Href(links.Task, t.TaskID)}
}

// AcceptGroup returns the answer for a group of tasks.
func (r *Request[T]) AcceptGroup(g *group.Group) *AcceptedGroup {
	return &AcceptedGroup{TaskGroup: r.links.Href(links.TaskGroup, g.ID)}
}

// Upload returns the file that the request brought, or nil.
func (r *Request[T]) Upload() *Upload { return r.upload }

// Href returns the href of a row with a master, or false if its type is not served.
func (r *Request[T]) Href(row models.Row) (string, bool) {
	for _, k := range r.links.Masters() {
		if t := r.links.Type(k.Master, row.PulpType()); t != nil && reflect.TypeOf(t.New()) == reflect.TypeOf(row) {
			return r.links.RowHref(t, row.PulpID()), true
		}
	}
	return "", false
}

// Resolve returns the row of type X that an href or a PRN names. Plugins call it in their actions. It asks the
// [Authorizer] whether the account may use the row.
//
// Errors: those of the Authorizer; FieldErrors for the field if it is not the href or PRN of such a row; NotFound if
// there is no such row.
func Resolve[X, T any](ctx context.Context, r *Request[T], t *models.Type[X], field, hrefOrPRN string) (*X, error) {
	target, ok := r.links.Parse(hrefOrPRN)
	if !ok {
		return nil, FieldErrors{field: {"Invalid hyperlink - No URL match."}}
	}
	if target.Type == nil || target.Kind != string(t.Master()) || target.Type.Name() != t.Name() {
		return nil, FieldErrors{field: {"Invalid hyperlink - Incorrect URL match."}}
	}
	if err := r.request.mayRefer(ctx, field, target.Kind, target.ID); err != nil {
		return nil, err
	}
	row, err := t.Get(ctx, r.DB, models.Ref[X]{ID: target.ID})
	if err != nil {
		return nil, fmt.Errorf("rest: resolve %s: %w", field, err)
	}
	return row, nil
}

// subject is what actions belong to: the rows of a view or of a resource.
type subject struct {
	what   string // for faults: "viewset repositories/file/file/"
	path   string // below the base: "repositories/file/file/"
	op     string // beginning of operationIds: "repositories_file_file"
	tag    string
	class  string // of one row: "FileRepository"
	plugin string // beginning of the names of schemas, with a dot, empty for the core: "file."
	href   string // parameter for a row's href: "file_file_repository_href"
	above  string // parameter for the href of the row that a nested resource is below; "" for others
	key    string // wildcard for a row's key, with a slash; "" is "{pulp_id}/"
	master *master
	typ    *links.Type // nil without a master
	// row returns the row that the request's path names, a *T.
	row func(ctx context.Context, q *request) (any, error)
	in  *view // whose rows a nested resource is below; nil for others
}

// action is a compiled Action.
type action struct {
	operation
	name     string
	row      bool // on one row
	input    []*schema.Field
	output   reflect.Type
	response string // name of the schema of output, unless it has one
	faults   []error
}

// Post returns the operation POST <row>/<name>/. The body is read into I, a struct whose fields have the tags of a
// model's (json, doc, rest); the answer is written from O, with status 200, or 202 if O is [Accepted].
//
// What fn returns as an error is answered like any other: [FieldErrors] and pulperr.Field with 400, a kind with its
// status.
func Post[T, I, O any](name string, fn func(ctx context.Context, r *Request[T], in *I) (*O, error)) Action[T] {
	return Do(Operation{Name: name}, fn)
}

// Do returns any operation. The body is read into I as by [Post]; with the method GET or DELETE there is none. I may be
// [Empty], and O one of [Accepted], [AcceptedGroup] and [Empty].
func Do[T, I, O any](op Operation, fn func(ctx context.Context, r *Request[T], in *I) (*O, error)) Action[T] {
	return Action[T]{build: func(s *subject) *action {
		act := newAction(s, op, reflect.TypeFor[I](), reflect.TypeFor[O]())
		act.handle = func(ctx context.Context, q *request) (*reply, error) {
			var row *T
			// The row comes before the body: a missing row is 404 whatever the body holds.
			if act.row && !op.noRow {
				found, err := s.row(ctx, q)
				if err != nil {
					return nil, err
				}
				row, _ = found.(*T)
			} else if err := s.in.enter(ctx, q); err != nil {
				return nil, err
			}
			r, in := newRequest(q, row), new(I)
			if act.Body != "" {
				body, err := q.read(ctx, op.File, act.input...)
				if err != nil {
					return nil, err
				}
				// An upload that fn has not saved is dropped, also when a field of the body is refused.
				defer body.close()
				if err := q.decode(ctx, body, act.input, in, creating); err != nil {
					return nil, err
				}
				if err := body.faults.OrNil(); err != nil {
					return nil, err
				}
				r.upload = body.upload
			}
			out, err := fn(ctx, r, in)
			if err != nil {
				return nil, err
			}
			status := cmp.Or(q.status, act.Status[0])
			if status == http.StatusNoContent {
				return &reply{status: status}, nil
			}
			return q.pick(status, out)
		}
		return act
	}}
}

func newAction(s *subject, op Operation, in, out reflect.Type) *action {
	act := &action{name: op.Name, row: !op.Collection, output: out}
	act.Method = cmp.Or(op.Method, http.MethodPost)
	act.Path, act.Entity = s.path, s.above
	if act.row {
		act.Path, act.Entity = s.path+cmp.Or(s.key, "{pulp_id}/"), s.href
	}
	if op.Name != "" {
		act.Path += op.Name + "/"
	}
	// The generated bindings name their methods after the operationId, and a method name has no hyphen.
	act.ID = s.op + "_" + strings.ReplaceAll(cmp.Or(op.id, op.Name, strings.ToLower(act.Method)), "-", "_")
	act.Tag, act.File = s.tag, op.File
	act.Summary = cmp.Or(op.Summary, links.Camel(op.Name)+" a "+s.class)
	name := s.plugin + s.class + links.Camel(op.Name)
	// An operation without input ignores its body, as Pulp does.
	if in != reflect.TypeFor[Empty]() || op.File {
		act.Body = cmp.Or(op.body, name)
		var faults []error
		act.input, faults = schema.StructFields(in)
		for _, err := range faults {
			act.faults = append(act.faults, fmt.Errorf("%s: action %s: %w", s.what, op.Name, err))
		}
		// HTTP gives a body of these methods no meaning, and proxies may drop it.
		if act.Method == http.MethodGet || act.Method == http.MethodDelete {
			act.faults = append(act.faults, fmt.Errorf("%s: action %s: %s has no body; make its input rest.Empty", s.what,
				op.Name, act.Method))
		}
	}
	act.Status, act.response = op.Status, cmp.Or(op.body, name)+"Response"
	if act.Status == nil {
		act.Status = []int{usualStatus(out)}
	}
	return act
}

// usualStatus returns the status of an answer of a type.
func usualStatus(answer reflect.Type) int {
	switch answer {
	case reflect.TypeFor[Accepted](), reflect.TypeFor[AcceptedGroup]():
		return http.StatusAccepted
	case reflect.TypeFor[Empty]():
		return http.StatusNoContent
	}
	return http.StatusOK
}

// mount adds the action to the API, and the schemas of its body and answer to the document.
func (act *action) mount(c *compiler) {
	for _, err := range act.faults {
		c.fault("%w", err)
	}
	if act.Body != "" {
		c.components.AddBody(act.Body, act.input, act.File)
	}
	if act.output != reflect.TypeFor[Empty]() {
		// The answer about a row has its schema already; an action that returns one refers to it.
		act.Answer = c.components.NameOf(act.output)
		if act.Answer == "" {
			act.Answer = act.response
			c.components.AddAnswer(act.Answer, act.output, false)
		}
		act.Accepted = act.Answer
	}
	c.add(&act.operation)
}

// mountActions builds and checks the actions of a subject and adds them.
func mountActions[T any](c *compiler, s *subject, actions []Action[T], reserved func(name string) bool) {
	seen := map[string]bool{}
	for _, a := range actions {
		if a.build == nil {
			c.fault("%s: an action is empty; make it with rest.Post or rest.Sync", s.what)
			continue
		}
		act := a.build(s)
		key := act.Method + " " + act.Path
		switch {
		case act.name != "" && !viewName.MatchString(act.name), reserved(act.name):
			c.fault("%s: an action cannot be named %q; use a lowercase name that the API does not use itself", s.what,
				act.name)
			continue
		case seen[key]:
			c.fault("%s: there are two actions %q; rename one", s.what, act.name)
		}
		seen[key] = true
		act.mount(c)
	}
}
