package rest

import (
	"context"
	"fmt"
	"reflect"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
)

// Updater is what PUT and PATCH on a row of a viewset do besides changing its fields. [Update] makes one.
type Updater[T any] struct {
	compile func(v *view) *updating
}

// updating is a compiled Updater. The zero value adds nothing.
type updating struct {
	fields []*schema.Field // in requests only
	begin  func() any      // returns a new input
	run    func(ctx context.Context, q *request, row models.Row, extra any) error
	faults []error
}

// of returns what the Updater adds to a view.
func (u Updater[T]) of(c *compiler, v *view) *updating {
	if u.compile == nil {
		return &updating{}
	}
	if v.readOnly || v.master.update == never {
		c.fault("%s: update: its rows are not updated; leave out Update", v.what)
	}
	compiled := u.compile(v)
	for _, err := range compiled.faults {
		c.fault("%s: update: %w", v.what, err)
	}
	return compiled
}

// Update returns the Updater that reads the fields of I from the body, besides those of T, and calls fn with them. The
// fields of I are in requests only: they are no columns and no members of answers. Request.Row is the row as the body
// has changed it; it was checked and is not saved. fn may change it further.
//
// fn is called for each PUT and PATCH, within the request and before the row is saved or the task is dispatched that
// saves it. A PATCH that leaves out a field of I gives its zero value, so a pointer tells whether it was given; a PUT
// gives the default. The [Creator] of the viewset has an input of its own, see [Create].
//
// What fn returns as an error is answered like that of an action, and the row stays as it was.
func Update[T, I any](fn func(ctx context.Context, r *Request[T], in *I) error) Updater[T] {
	return Updater[T]{compile: func(v *view) *updating {
		fields, faults := schema.StructFields(reflect.TypeFor[I]())
		for _, f := range fields {
			for _, o := range v.answers.fields {
				if o.Name == f.Name {
					faults = append(faults, fmt.Errorf("field %s: the type has a field %q already; give one of them another json tag",
						f.In(reflect.TypeFor[I]()), f.Name))
				}
			}
		}
		return &updating{
			fields: fields, faults: faults, begin: func() any { return new(I) },
			run: func(ctx context.Context, q *request, row models.Row, extra any) error {
				typed, ok := row.(any).(*T)
				in, fits := extra.(*I)
				if !ok || !fits {
					return fmt.Errorf("rest: %T is not what the view %s serves", row, v.path)
				}
				return fn(ctx, newRequest(q, typed), in)
			},
		}
	}}
}

// decode reads the fields of a body that are in requests only.
func (u *updating) decode(ctx context.Context, q *request, in *input, mode writeMode) (extra any, err error) {
	if u.begin == nil {
		return nil, nil
	}
	extra = u.begin()
	return extra, q.decode(ctx, in, u.fields, extra, mode)
}

// apply calls the function of the Updater, and checks the row again if it has one.
func (u *updating) apply(ctx context.Context, q *request, v *view, row models.Row, extra any) error {
	if u.run == nil {
		return nil
	}
	if err := u.run(ctx, q, row, extra); err != nil {
		return err
	}
	return v.answers.check(ctx, checkerOf(q), row, FieldErrors{})
}
