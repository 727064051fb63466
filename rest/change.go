package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// rowWriter creates, updates and deletes the rows of a view, at once or by tasks.
type rowWriter struct{ *view }

// mount adds create, update and delete, as far as the master has them. row describes operations on one row.
func (v rowWriter) mount(c *compiler, row schema.Operation) {
	model := v.answers.model
	if v.create != nil {
		c.components.AddBody(model, v.create.fields, v.create.files)
		c.add(&operation{schema.Operation{
			Method: http.MethodPost, Path: v.path, ID: v.op + "_create", Tag: v.tag, Summary: "Create " + v.summary,
			Body: model, File: v.create.files, Answer: row.Answer, Status: []int{v.create.status},
		}, v.create.run})
	}
	change := func(method, id, summary, body string, h handler, status ...int) {
		o := row
		o.Method, o.ID, o.Summary, o.Body, o.Status = method, v.op+id, summary+" "+v.summary, body, status
		c.add(&operation{o, h})
	}
	if v.readOnly {
		return
	}
	// An update that leaves the row as it is is answered with 200 and the row; a change by a task with 202.
	if v.master.update != never {
		status := []int{http.StatusOK}
		if v.master.update == byTask {
			status = append(status, http.StatusAccepted)
		}
		fields, body := v.updatable(), model
		switch {
		// What POST reads besides the fields of the row is not what PUT reads.
		case v.create != nil && !sameNames(v.create.fields, fields) || v.create != nil && v.create.files:
			body = "Updated" + model
			c.components.AddBody(body, fields, false)
		case v.create == nil:
			c.components.AddBody(body, fields, false)
		}
		c.components.AddPatch(model, fields)
		change(http.MethodPut, "_update", "Update", body, v.update(replacing), status...)
		change(http.MethodPatch, "_partial_update", "Update", "Patched"+model, v.update(patching), status...)
	}
	switch v.master.remove {
	case atOnce:
		change(http.MethodDelete, "_delete", "Delete", "", v.removeNow, http.StatusNoContent)
	case byTask:
		change(http.MethodDelete, "_delete", "Delete", "", v.removeLater, http.StatusAccepted)
	}
}

// creation returns what POST does by default, or nil.
func (v rowWriter) creation() *creation {
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
		if err := v.answers.check(ctx, checkerOf(q), row, in.faults); err != nil {
			return nil, err
		}
		return save(ctx, q, row)
	}
	return c
}

// createNow saves a new row.
func (v rowWriter) createNow(ctx context.Context, q *request, row models.Row) (*reply, error) {
	if err := models.Create(ctx, q.db, row); err != nil {
		return nil, v.answers.uniqueViolation(ctx, checkerOf(q), row, err)
	}
	q.location = q.links.RowHref(v.typ, row.PulpID())
	return v.answer(ctx, q, http.StatusCreated, row)
}

// createLater dispatches the task that saves a new row.
func (v rowWriter) createLater(ctx context.Context, q *request, row models.Row) (*reply, error) {
	args, err := pack(v.typ, row, v.columns)
	if err != nil {
		return nil, err
	}
	// Two requests for overlapping base paths would both pass the check, so their tasks run one after the other.
	o := &tasking.DispatchOptions{}
	if v.master.exclusive != "" {
		o.Exclusive = tasking.Named(q.resource(v.master.Name + "." + v.master.exclusive))
	}
	if v.master.shared != "" {
		o.Shared = tasking.Named(q.resource(v.master.shared))
	}
	return q.accept(work.GeneralCreate.Dispatch(ctx, q.tasks(), args, o))
}

// resource returns the name of a resource of the domain that is not a row but can be reserved.
func (q *request) resource(name string) string {
	return "pdrn:" + q.db.Domain().ID.String() + ":" + name
}

// pack returns fields of a row as the arguments of a general task.
func pack(t models.AnyType, row models.Row, fields []*schema.Field) (work.RowArgs, error) {
	args := work.RowArgs{Master: t.Master(), Type: t.Name(), ID: row.PulpID(), Fields: map[string]json.RawMessage{}}
	for _, f := range fields {
		raw, err := f.Pack(row)
		if err != nil {
			return args, err
		}
		args.Fields[f.Column] = raw
	}
	return args, nil
}

// updatable returns the fields of the bodies of PUT and PATCH.
func (v rowWriter) updatable() []*schema.Field {
	return slices.Concat(schema.Writable(v.answers.fields), v.updating.fields)
}

// sameNames reports whether two lists have fields of the same names in the same order.
func sameNames(a, b []*schema.Field) bool {
	return slices.EqualFunc(a, b, func(f, g *schema.Field) bool { return f.Name == g.Name })
}

// update returns the handler of PUT or PATCH.
func (v rowWriter) update(mode writeMode) handler {
	fields, updatable := schema.Writable(v.answers.fields), v.updatable()
	return func(ctx context.Context, q *request) (*reply, error) {
		before, err := v.requested(ctx, q)
		if err != nil {
			return nil, err
		}
		// A shallow copy is enough: decode and the checks replace values and never write through a pointer of the row.
		after := v.newRow()
		reflect.ValueOf(after).Elem().Set(reflect.ValueOf(before).Elem())
		// The row is read before the body: a missing row is 404 whatever the body holds.
		in, err := q.read(ctx, false, updatable...)
		if err != nil {
			return nil, err
		}
		if err := q.decode(ctx, in, fields, after, mode); err != nil {
			return nil, err
		}
		extra, err := v.updating.decode(ctx, q, in, mode)
		if err != nil {
			return nil, err
		}
		if err := v.answers.check(ctx, checkerOf(q), after, in.faults); err != nil {
			return nil, err
		}
		if err := v.updating.apply(ctx, q, v.view, after, extra); err != nil {
			return nil, err
		}
		// Only columns that differ are written, so that two updates of different fields both last.
		changed := schema.Changed(v.answers.fields, before, after)
		switch {
		// Clients send the whole row again and again; no task is made for a row that stays the same.
		case len(changed) == 0:
			return v.answer(ctx, q, http.StatusOK, before)
		case v.master.update == atOnce:
			return v.updateNow(ctx, q, after, changed)
		default:
			return v.updateLater(ctx, q, after, changed)
		}
	}
}

func (v rowWriter) updateNow(ctx context.Context, q *request, row models.Row, changed []*schema.Field) (*reply, error) {
	columns := make([]string, len(changed))
	for i, f := range changed {
		columns[i] = f.Column
	}
	if err := models.Update(ctx, q.db, row, columns...); err != nil {
		return nil, v.answers.uniqueViolation(ctx, checkerOf(q), row, err)
	}
	return v.answer(ctx, q, http.StatusOK, row)
}

func (v rowWriter) updateLater(
	ctx context.Context, q *request, row models.Row, changed []*schema.Field,
) (*reply, error) {
	args, err := pack(v.typ, row, changed)
	if err != nil {
		return nil, err
	}
	o := v.reservations(q, row)
	// The task is a single UPDATE, so the request may run it itself if the resources are free.
	o.Mode = tasking.PreferImmediate
	for _, f := range changed {
		switch {
		case f.Column == v.master.exclusive:
			o.Exclusive = append(o.Exclusive, tasking.Named(q.resource(v.master.Name+"."+f.Column))...)
		case work.Retains(f.Column):
			o.Mode = tasking.Deferred // the task may delete many versions, and the client would wait for it
		}
	}
	return q.accept(work.GeneralUpdate.Dispatch(ctx, q.tasks(), args, o))
}

// reservations returns what an update or a removal of a row reserves.
func (v rowWriter) reservations(q *request, row models.Row) *tasking.DispatchOptions {
	o := &tasking.DispatchOptions{Exclusive: tasking.On(row)}
	if v.master.shared != "" {
		o.Shared = tasking.Named(q.resource(v.master.shared))
	}
	return o
}

// removeNow deletes a row within the request.
func (v rowWriter) removeNow(ctx context.Context, q *request) (*reply, error) {
	row, err := v.requested(ctx, q)
	if err != nil {
		return nil, err
	}
	// A publication has files of its own, which are deleted with it.
	if p, ok := row.(models.AnyPublication); ok {
		err = models.DeletePublication(ctx, q.db, p)
	} else {
		err = models.Delete(ctx, q.db, row)
	}
	return &reply{status: http.StatusNoContent}, err
}

// removeLater dispatches the task that deletes a row.
func (v rowWriter) removeLater(ctx context.Context, q *request) (*reply, error) {
	row, err := v.requested(ctx, q)
	if err != nil {
		return nil, err
	}
	o := v.reservations(q, row)
	// Other rows own versions or content, whose removal may take long.
	if v.master.removeQuickly {
		o.Mode = tasking.PreferImmediate
	}
	args := work.RowArgs{Master: v.master.Master, Type: v.typ.Name(), ID: row.PulpID()}
	return q.accept(work.GeneralDelete.Dispatch(ctx, q.tasks(), args, o))
}
