package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// Action is a further operation on one row of a viewset. Only the functions of this package make one, see [Post] and
// [Sync].
type Action[T any] struct {
	build func(v *view) *action
}

// action is a compiled Action.
type action struct {
	name    string
	summary string
	input   *inputShape // nil if there is no body
	answer  string      // schema of the answer
	outType reflect.Type
	async   bool
	run     handler
	faults  []error
}

// inputShape is what the body of an action looks like.
type inputShape struct {
	model  string
	fields []*field
}

// Request is what an action works with.
type Request[T any] struct {
	Row   *T             // the row that the path names
	DB    *models.DB     // bound to the request's domain
	Queue *tasking.Queue // of the same domain
	Store *storage.Store
	User  *accounts.User // who asks
	HTTP  *http.Request
	call  *call
}

// Accept returns the answer for a task that was dispatched.
func (r *Request[T]) Accept(t *tasking.Ticket) *Accepted {
	return &Accepted{Task: r.call.api.coreHref(taskKind, t.TaskID)}
}

// Resolve returns the row of type X that an href or a PRN names. Plugins call it in their actions.
//
// Errors: FieldErrors for the field if it names something else or nothing.
func Resolve[X, T any](ctx context.Context, r *Request[T], t *models.Type[X], field, hrefOrPRN string) (*X, error) {
	target, ok := r.call.api.parseRef(hrefOrPRN)
	if !ok {
		return nil, FieldErrors{field: {"Invalid hyperlink - No URL match."}}
	}
	if target.view == nil || target.kind != string(t.Master()) || target.view.typ.Name() != t.Name() {
		return nil, FieldErrors{field: {"Invalid hyperlink - Incorrect URL match."}}
	}
	row, err := t.Get(ctx, r.DB, models.Ref[X]{ID: target.id})
	if err != nil {
		return nil, fmt.Errorf("rest: resolve %s: %w", field, err)
	}
	return row, nil
}

// Post returns the operation POST <row>/<name>/. The body is read into I, a struct whose fields have the tags of a
// model's (json, doc, rest); what O says is the answer, with status 200, or 202 if O is [Accepted].
//
// What fn returns as an error is answered like any other: [FieldErrors] and pulperr.Field with 400, a kind with its
// status.
func Post[T, I, O any](name string, fn func(ctx context.Context, r *Request[T], in *I) (*O, error)) Action[T] {
	return Action[T]{build: func(v *view) *action {
		act := &action{name: name, outType: reflect.TypeFor[O](), summary: camel(name) + " a " + v.class}
		plugin, _, _ := cutType(v.typ.Name())
		act.input = &inputShape{model: plugin + "." + v.class + camel(name)}
		var faults []error
		act.input.fields, faults = structFields(reflect.TypeFor[I]())
		for _, err := range faults {
			act.faults = append(act.faults, fmt.Errorf("viewset %s: action %s: %w", v.path, name, err))
		}
		act.async = act.outType == reflect.TypeFor[Accepted]()
		act.answer = act.input.model + "Response"
		act.run = func(ctx context.Context, c *call) error {
			row, err := c.get(ctx, v)
			if err != nil {
				return err
			}
			in := new(I)
			if err := c.decodeInput(ctx, act.input.fields, in); err != nil {
				return err
			}
			typed, _ := row.(any).(*T)
			out, err := fn(ctx, newRequest(c, typed), in)
			if err != nil {
				return err
			}
			status := http.StatusOK
			if act.async {
				status = http.StatusAccepted
			}
			writeJSON(c.w, status, out)
			return nil
		}
		return act
	}}
}

func newRequest[T any](c *call, row *T) *Request[T] {
	return &Request[T]{
		Row: row, DB: c.db, Queue: c.queue(), Store: c.api.store, User: c.user, HTTP: c.r, call: c,
	}
}

// decodeInput reads the body of an action.
func (c *call) decodeInput(ctx context.Context, fields []*field, in any) error {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return err
	}
	faults := FieldErrors{}
	b.expect(faults, fields)
	if err := c.decode(ctx, fields, b, in, creating, faults); err != nil {
		return err
	}
	return faults.orNil()
}

// structFields describes the fields of a plain struct.
func structFields(t reflect.Type) (list []*field, faults []error) {
	if t.Kind() != reflect.Struct {
		return nil, []error{fmt.Errorf("its input %s is no struct; declare one with a field for each member of the body", t)}
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous:
			faults = append(faults, fmt.Errorf("field %s: it is embedded, and its members would not be read; write them into %s",
				sf.Name, t))
			continue
		case !sf.IsExported() && sf.Tag != "":
			faults = append(faults, fmt.Errorf("field %s: it has a tag and is not exported, so it would not be read; begin its "+
				"name with a capital", sf.Name))
			continue
		case name == "-" || !sf.IsExported():
			continue
		}
		name = cmp.Or(name, snake(sf.Name))
		f := &field{name: name, column: name, doc: sf.Tag.Get("doc"), goType: sf.Type, index: sf.Index, own: true}
		f.setForm()
		for _, err := range f.complete(sf.Tag.Get("rest")) {
			faults = append(faults, fmt.Errorf("field %s: %w", sf.Name, err))
		}
		if slices.ContainsFunc(list, func(o *field) bool { return o.name == f.name }) {
			faults = append(faults, fmt.Errorf("field %s: there is another field named %q on the wire; give it another json tag",
				sf.Name, name))
		}
		list = append(list, f)
	}
	return list, faults
}
