package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
)

// Creator is what POST on a viewset's list does. [Create], [Publish] and [SingleArtifact] make one.
type Creator[T any] struct {
	compile func(v *view) *creation
}

// creation is a compiled Creator.
type creation struct {
	fields []*schema.Field // of the body
	files  bool            // the body may carry a file
	single bool            // the view is for content that consists of one artifact
	status int             // of the answer
	run    handler
	faults []error
}

// defaultCreation is what POST does unless a viewset says otherwise.
func (v *view) defaultCreation() *creation {
	c := &creation{fields: schema.Writable(v.answers.fields), status: http.StatusCreated}
	save := v.createNow
	switch v.master.create {
	case never:
		return nil
	case byTask:
		c.status, save = http.StatusAccepted, v.createLater
	}
	c.run = func(ctx context.Context, q *request) (*reply, error) {
		row := v.newRow()
		in, err := q.read(ctx, false, c.fields...)
		if err != nil {
			return nil, err
		}
		if err := q.decode(ctx, in, c.fields, row, creating); err != nil {
			return nil, err
		}
		if err := v.check(ctx, q, row, in.faults); err != nil {
			return nil, err
		}
		return save(ctx, q, row)
	}
	return c
}

// Create returns the Creator that reads the fields of T and those of I from the body and calls fn with the new row,
// which was checked and is not saved. O is T, for a row that fn has saved, or [Accepted]. I may be [Empty]. With files
// the body may carry a file, see [Request.Upload].
func Create[T, I, O any](
	files bool, fn func(ctx context.Context, r *Request[T], in *I) (*O, error),
) Creator[T] {
	return newCreator(files, func(context.Context, *request, *input, *T, *I) error { return nil },
		func(ctx context.Context, q *request, in *input, row *T, extra *I) (any, error) {
			r := newRequest(q, row)
			r.upload = in.upload
			return fn(ctx, r, extra)
		})
}

// newCreator returns a Creator in two steps. check adds what is wrong with the extra fields to the faults of the input,
// so that the answer has all faults. run returns a *T or an *Accepted.
func newCreator[T, I any](
	files bool, check func(ctx context.Context, q *request, in *input, row *T, extra *I) error,
	run func(ctx context.Context, q *request, in *input, row *T, extra *I) (any, error),
) Creator[T] {
	return Creator[T]{compile: func(v *view) *creation {
		extras, faults := schema.StructFields(reflect.TypeFor[I]())
		own := schema.Writable(v.answers.fields)
		extras = slices.DeleteFunc(extras, func(f *schema.Field) bool {
			return slices.ContainsFunc(own, func(o *schema.Field) bool { return o.Name == f.Name })
		})
		c := &creation{fields: slices.Concat(own, extras), files: files, status: http.StatusAccepted, faults: faults}
		c.run = func(ctx context.Context, q *request) (*reply, error) {
			in, err := q.read(ctx, files, c.fields...)
			if err != nil {
				return nil, err
			}
			defer in.close()
			row, extra := v.newRow(), new(I)
			typed, ok := row.(any).(*T)
			if !ok {
				return nil, fmt.Errorf("rest: %T is not what the view %s serves", row, v.path)
			}
			if err := q.decode(ctx, in, own, row, creating); err != nil {
				return nil, err
			}
			if err := q.decode(ctx, in, extras, extra, creating); err != nil {
				return nil, err
			}
			if err := check(ctx, q, in, typed, extra); err != nil {
				return nil, err
			}
			if err := v.check(ctx, q, row, in.faults); err != nil {
				return nil, err
			}
			out, err := run(ctx, q, in, typed, extra)
			if err != nil {
				return nil, v.uniqueViolation(err)
			}
			if saved, ok := out.(models.Row); ok {
				q.location = q.links.RowHref(v.typ, saved.PulpID())
				return v.answer(ctx, q, http.StatusCreated, saved)
			}
			return &reply{status: http.StatusAccepted, body: out}, nil
		}
		return c
	}}
}
