package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/tasking"
)

// Creator is what POST on a viewset's list does. [Create], [Publish] and, for content of one, several and no files,
// [SingleArtifact], [MultipleArtifact] and [NoArtifact] make one.
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
	master models.Master // of the view
	faults []error
}

func (c *creation) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// Create returns the Creator that reads the fields of T and those of I from the body and calls fn with the new row,
// which was checked and is not saved. O is T, for a row that fn has saved, or [Accepted]. I may be [Empty]. With files
// the body may carry a file, see [Request.Upload].
//
// The fields of I are in the request only: they are no columns, and fn does with them what it likes. A creator of
// content ends with [SaveContent].
func Create[T, I, O any](
	files bool, fn func(ctx context.Context, r *Request[T], in *I) (*O, error),
) Creator[T] {
	return steps[T, I]{files: files, run: func(ctx context.Context, q *request, in *input, row *T, extra *I) (any, error) {
		r := newRequest(q, row)
		r.upload = in.upload
		return fn(ctx, r, extra)
	}}.creator().adjust(func(c *creation) {
		switch reflect.TypeFor[O]() {
		case reflect.TypeFor[T]():
			c.status = http.StatusCreated
		case reflect.TypeFor[Accepted]():
		default:
			c.fault("its result %s is neither the row nor rest.Accepted; return one of them", reflect.TypeFor[O]())
		}
	})
}

// adjust returns the Creator with a change of what it compiles to.
func (cr Creator[T]) adjust(change func(c *creation)) Creator[T] {
	return Creator[T]{compile: func(v *view) *creation {
		c := cr.compile(v)
		change(c)
		return c
	}}
}

// steps are those of a creator, between the decoding of the body and the answer.
type steps[T, I any] struct {
	files bool // the body may carry a file
	// fills means that run sets further fields and then calls the validators itself.
	fills bool
	// check adds the faults of the extra fields to those of the input, so that one answer has all of them. Nil adds none.
	check func(ctx context.Context, q *request, in *input, row *T, extra *I) error
	// run returns a *T or an *Accepted.
	run func(ctx context.Context, q *request, in *input, row *T, extra *I) (any, error)
}

// creator returns the Creator that takes the steps.
func (st steps[T, I]) creator() Creator[T] {
	return Creator[T]{compile: func(v *view) *creation {
		extras, faults := schema.StructFields(reflect.TypeFor[I]())
		own := schema.Writable(v.answers.fields)
		// A type may have a field of the same name, which the member of the body belongs to then.
		extras = slices.DeleteFunc(extras, func(f *schema.Field) bool {
			return slices.ContainsFunc(own, func(o *schema.Field) bool { return o.Name == f.Name })
		})
		c := &creation{
			fields: slices.Concat(own, extras), files: st.files, status: http.StatusAccepted, master: v.master.Master,
			faults: faults,
		}
		c.run = func(ctx context.Context, q *request) (*reply, error) {
			in, err := q.read(ctx, st.files, c.fields...)
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
			// The checks run although decoding found faults, so that one answer has all of them.
			if st.check != nil {
				if err := st.check(ctx, q, in, typed, extra); err != nil {
					return nil, err
				}
			}
			if err := v.answers.checkFields(ctx, checkerOf(q), row, in.faults); err != nil {
				return nil, err
			}
			if !st.fills {
				if err := checkerOf(q).validate(ctx, row); err != nil {
					return nil, err
				}
			}
			out, err := st.run(ctx, q, in, typed, extra)
			if err != nil {
				return nil, v.answers.uniqueViolation(ctx, checkerOf(q), row, err)
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

// publishInput is what the body of a publication has besides the type's own fields.
type publishInput struct {
	Version    *uuid.UUID `json:"repository_version" rest:"ref=repositoryversion" doc:"The version to publish."`
	Repository *uuid.UUID `json:"repository" rest:"ref=repository" doc:"The repository whose latest version to publish."`

	source *models.RepositoryVersion
}

// Publish returns the [Creator] of publications: it reads the type's own fields, and a repository, whose latest version
// is meant, or a repository version, and dispatches a plugin's task. args makes the task's arguments from the
// publication as it shall be; the version is in its RepositoryVersionID. The repository is reserved as shared.
func Publish[T, A any](t *tasking.Task[A], args func(p *T) A) Creator[T] {
	return steps[T, publishInput]{check: readSource[T], run: func(
		ctx context.Context, q *request, _ *input, p *T, extra *publishInput,
	) (any, error) {
		publication(p).RepositoryVersionID = extra.source.ID
		repository, err := models.Cast(ctx, q.db, models.RepositoryMaster, extra.source.RepositoryID)
		if err != nil {
			return nil, err
		}
		// Several publications may be made at a time. The deletion of a version reserves the repository exclusively, so the
		// version cannot go while it is published.
		return q.ticket(t.Dispatch(ctx, q.tasks(), args(p), &tasking.DispatchOptions{Shared: tasking.On(repository)}))
	}}.creator().adjust(func(c *creation) {
		if c.master != models.PublicationMaster {
			c.fault("only publications are created by rest.Publish; use rest.Create")
		}
	})
}

// publication returns what all publications have. A row of another master, which was a fault at Open, would panic.
func publication(row any) *models.Publication {
	p, _ := row.(models.AnyPublication)
	return p.AsPublication()
}

// readSource finds the version that the repository or repository_version of a body means.
func readSource[T any](ctx context.Context, q *request, in *input, p *T, extra *publishInput) (err error) {
	// extra is nil for a link that was refused. The body shows what the client meant to give, so it gets one fault for it.
	version, repository := in.given("repository_version"), in.given("repository")
	switch {
	case !version && !repository:
		in.faults.Add(NonField, "Either the 'repository' or 'repository_version' need to be specified")
	case version && repository:
		in.faults.Add(NonField, "Either the 'repository' or 'repository_version' need to be specified but not both.")
	case extra.Version != nil:
		extra.source, err = models.VersionByID(ctx, q.db, *extra.Version)
	case extra.Repository != nil:
		extra.source, err = models.LatestVersion(ctx, q.db, *extra.Repository)
	}
	if publication(p).Checkpoint && version {
		in.faults.Add(NonField,
			"A checkpoint is always of the latest version: specify 'repository', not 'repository_version'.")
	}
	return err
}
