package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// call is one request on its way through a handler.
type call struct {
	api  *API
	w    http.ResponseWriter
	r    *http.Request
	db   *models.DB
	user *accounts.User // nil if anonymous

	only, without map[string]bool // fields of the answer that the client wants, none for all, and does not want
}

// queue returns the queue of the request's domain.
func (c *call) queue() *tasking.Queue { return c.api.queue.In(c.db) }

type handler func(ctx context.Context, c *call) error

// Accepted is the answer of an operation that goes on as a task.
type Accepted struct {
	Task string `json:"task"` // href
}

func (c *call) accept(task uuid.UUID) error {
	writeJSON(c.w, http.StatusAccepted, Accepted{Task: c.api.coreHref(taskKind, task)})
	return nil
}

// id returns the key in the request's path.
func (c *call) id(model string) (uuid.UUID, error) {
	id, ok := parseID(chi.URLParam(c.r, "pulp_id"))
	if !ok {
		return uuid.Nil, notFound(model)
	}
	return id, nil
}

// get returns the row that the request's path names.
func (c *call) get(ctx context.Context, v *view) (models.Row, error) {
	id, err := c.id(v.class)
	if err != nil {
		return nil, err
	}
	rows, err := v.list(ctx, c.db, append(visible(v.master), models.Eq("pulp_id", id), models.Limit(1))...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, notFound(v.class)
	}
	return rows[0], nil
}

// answerRow writes one row as far as the client asked for it.
func (c *call) answerRow(ctx context.Context, status int, v *view, row models.Row) error {
	o, err := c.api.renderOne(ctx, c.db, v.shape, row)
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		c.w.Header().Set("Location", c.api.href(v, row.PulpID()))
	}
	return c.answerObject(status, o)
}

func (c *call) answerObject(status int, o object) error {
	writeJSON(c.w, status, o.pick(c.only, c.without))
	return nil
}

// presence says what a request's missing fields mean.
type presence uint8

const (
	creating  presence = iota + 1 // defaults; some are required
	replacing                     // the same, for a row that exists
	patching                      // they stay
)

// decode parses the fields of a body into a row and notes what is wrong with them.
func (c *call) decode(ctx context.Context, fields []*field, b body, row any, how presence, faults FieldErrors) error {
	for _, f := range fields {
		raw, present := b[f.name]
		if !present {
			switch {
			case how != patching && f.required:
				faults.add(f.name, msgRequired)
			case how != patching && f.def != nil:
				f.assign(row, f.def)
			}
			continue
		}
		value, reasons := f.parse(raw)
		if reasons == nil && f.form == refForm && value != nil {
			text, _ := value.(string)
			id, why, err := c.api.resolve(ctx, c.db, f.ref, text)
			if err != nil {
				return err
			}
			value, reasons = id, why
		}
		if reasons != nil {
			faults.add(f.name, reasons...)
			continue
		}
		f.assign(row, value)
	}
	return nil
}

// checkUnique notes which unique fields of a row another row of the domain has already.
func (c *call) checkUnique(ctx context.Context, v *view, row models.Row, faults FieldErrors) error {
	for _, f := range v.shape.fields {
		if !f.unique || faults[f.name] != nil || row.PulpID() == uuid.Nil && f.value(row).IsZero() {
			continue
		}
		n, err := c.db.Bun().NewSelect().TableExpr("?", bun.Ident(v.master.Table())).
			Where("? = ?", bun.Ident(f.column), f.value(row).Interface()).
			Where("pulp_domain_id = ?", c.db.Domain().ID).Where("pulp_id <> ?", row.PulpID()).Count(ctx)
		if err != nil {
			return fmt.Errorf("rest: look for another %s: %w", f.name, err)
		}
		if n > 0 {
			faults.add(f.name, msgUnique)
		}
	}
	return nil
}
