package rest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// site is what all requests share.
type site struct {
	db    *models.DB
	queue *tasking.Queue
	store *storage.Store
	links *links.Links
	views map[*links.Type]*view
	opts  *Options
	log   *slog.Logger
}

// view returns the view of a row, or nil if its type is not served.
func (s *site) view(m models.Master, pulpType string) *view {
	return s.views[s.links.Type(m, pulpType)]
}

// typeAt returns the name of the type whose rows a path below the base leads to, or "" for those of the core.
func (s *site) typeAt(path string) string {
	for t := range s.views {
		if strings.HasPrefix(path, t.Path) {
			return t.Name()
		}
	}
	return ""
}

// request is one HTTP request within an operation.
type request struct {
	*site
	w          http.ResponseWriter
	r          *http.Request
	db         *models.DB     // of the request's domain, or a transaction in it
	user       *accounts.User // nil if it is anonymous
	permission *Permission    // that the operation needed
	visible    *Visible       // the rows that the account may see; nil is all
	parent     uuid.UUID      // row that the path of a nested resource names; zero for others
	fields     *wire.Fields   // what the client wants of the answer; nil is all
	status     int            // of a successful answer, if not the operation's usual one
	location   string         // of a row that was created
}

// tasks returns the queue of the request's domain.
func (q *request) tasks() *tasking.Queue { return q.queue.In(q.db) }

// id returns the key in the request's path. class names what it is missing of.
func (q *request) id(class string) (uuid.UUID, error) { return q.key("pulp_id", class) }

// key returns the key that stands for a wildcard of the path.
func (q *request) key(wildcard, class string) (uuid.UUID, error) {
	id, ok := links.ParseID(chi.URLParam(q.r, wildcard))
	if !ok {
		return uuid.Nil, wire.NotFound(class)
	}
	return id, nil
}

// ticket returns the answer for a task that was dispatched.
func (q *request) ticket(t *tasking.Ticket, err error) (*Accepted, error) {
	if err != nil {
		return nil, err
	}
	return &Accepted{Task: q.links.Href(links.Task, t.TaskID)}, nil
}

// accept answers that an operation goes on as a task.
func (q *request) accept(t *tasking.Ticket, err error) (*reply, error) {
	body, err := q.ticket(t, err)
	return &reply{status: http.StatusAccepted, body: body}, err
}

// pick answers with what the client wants of an object.
func (q *request) pick(status int, answer any) (*reply, error) {
	if q.fields != nil {
		var err error
		if answer, err = q.fields.Pick(answer); err != nil {
			return nil, err
		}
	}
	return &reply{status: status, body: answer, location: q.location}, nil
}

// page answers with what the client wants of a page of a list.
func (q *request) page(l *query.List, count int64, answers []any) (*reply, error) {
	for i, answer := range answers {
		if q.fields == nil {
			break
		}
		var err error
		if answers[i], err = q.fields.Pick(answer); err != nil {
			return nil, err
		}
	}
	return &reply{body: l.Answer(q.r, count, answers)}, nil
}

// writeMode is what the fields mean that a request leaves out.
type writeMode uint8

const (
	creating  writeMode = iota + 1 // they get their defaults; some are required
	replacing                      // the same, for a row that exists
	patching                       // they keep their values
)

// input is the body of a request while it is read.
type input struct {
	wire.Body
	upload *Upload // nil if there is no file
	faults FieldErrors
}

// has reports whether a member was given, be it null.
func (in *input) has(name string) bool {
	_, ok := in.Get(name)
	return ok
}

// given reports whether a member has a value: it is not left out, null or an empty text.
func (in *input) given(name string) bool {
	v, _ := in.Get(name)
	return v != nil && v != ""
}

// read reads the body. The members must be among the fields; file allows an upload.
func (q *request) read(ctx context.Context, file bool, fields ...*schema.Field) (*input, error) {
	in := &input{faults: FieldErrors{}}
	var take wire.FileFunc
	if file {
		take = in.take(ctx, q, "file")
	}
	var err error
	if in.Body, err = wire.ReadBody(q.w, q.r, take); err != nil {
		// A file before the malformed part of a body is in the store already.
		in.close()
		return nil, err
	}
	in.expect(fields)
	return in, nil
}

// expect refuses the members that are not among the fields.
func (in *input) expect(fields []*schema.Field) {
	in.Expect(func(name string) bool {
		return slices.ContainsFunc(fields, func(f *schema.Field) bool { return f.Name == name })
	}, in.faults)
}

// mayRefer fails if the account may not use the row that a field refers to.
func (q *request) mayRefer(ctx context.Context, field, kind string, row uuid.UUID) error {
	if q.user == nil {
		return nil
	}
	p := *q.permission
	p.Type, p.Row, p.Field, p.Kind = "", row, field, kind
	return q.opts.Authorizer.Authorize(ctx, &p)
}

// decode puts the members of a body into the fields of a row and collects their faults.
func (q *request) decode(ctx context.Context, in *input, fields []*schema.Field, row any, mode writeMode) error {
	return in.decode(ctx, decoder{q.links, q.db, q.mayRefer}, fields, row, mode)
}

// decoder finds the rows that references name.
type decoder struct {
	links *links.Links
	db    *models.DB
	// mayRefer fails if the account may not use a row; nil allows all.
	mayRefer func(ctx context.Context, field, kind string, row uuid.UUID) error
}

// decode puts the members into the fields of a row and collects their faults.
func (in *input) decode(ctx context.Context, d decoder, fields []*schema.Field, row any, mode writeMode) error {
	for _, f := range fields {
		raw, given := in.Get(f.Name)
		if !given {
			switch {
			case mode != patching && f.Required:
				in.faults.Add(f.Name, wire.MsgRequired)
			case mode != patching && f.Default != nil:
				f.Assign(row, f.Default)
			}
			continue
		}
		list := f.Form == schema.List || f.Form == schema.Refs
		if text, ok := raw.(string); ok && in.IsForm() && list && wire.Unfold(raw) == raw {
			raw = []any{text} // a list with one item looks like a text in a form
		}
		// A reference is parsed to its text first; the row that it names is looked up below.
		value, reasons := f.Parse(raw)
		if reasons == nil && value != nil {
			var err error
			if value, reasons, err = d.resolve(ctx, f, value); err != nil {
				return err
			}
		}
		if reasons != nil {
			in.faults.Add(f.Name, reasons...)
			continue
		}
		f.Assign(row, value)
	}
	return nil
}

// resolve turns the text of a reference, or the texts of a list of them, into keys. Other values come back as they are.
func (d decoder) resolve(ctx context.Context, f *schema.Field, value any) (any, []string, error) {
	switch value := value.(type) {
	case string:
		if f.Form == schema.Ref {
			id, reasons, err := d.resolveOne(ctx, f, value)
			return id, reasons, err
		}
	case []string:
		if f.Form != schema.Refs {
			break
		}
		ids := make([]uuid.UUID, 0, len(value))
		for _, text := range value {
			id, reasons, err := d.resolveOne(ctx, f, text)
			if err != nil || reasons != nil {
				return nil, reasons, err
			}
			// A client may name a row by its href and by its PRN.
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return ids, nil, nil
	}
	return value, nil, nil
}

// resolveOne returns the key of the row that a text refers to, if the account may use that row.
func (d decoder) resolveOne(ctx context.Context, f *schema.Field, text string) (uuid.UUID, []string, error) {
	id, reasons, err := d.links.Resolve(ctx, d.db, f.Ref, text)
	if err == nil && reasons == nil && d.mayRefer != nil {
		err = d.mayRefer(ctx, f.Name, f.Ref, id)
	}
	return id, reasons, err
}
