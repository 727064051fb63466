package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

func (v *view) handleRead(ctx context.Context, c *call) error {
	row, err := c.get(ctx, v)
	if err != nil {
		return err
	}
	return c.answerRow(ctx, http.StatusOK, v, row)
}

// Creator is what POST on a viewset's list does; see [Publish] and [SingleArtifact].
type Creator[T any] interface {
	compile(v *view) *creation
	creates(*T)
}

// creation is a compiled Creator.
type creation struct {
	fields []*field // of the body
	files  bool     // the body may be an upload
	single bool     // the view is for content that consists of one artifact
	async  bool
	run    handler
}

// defaultCreation is what POST does unless a viewset says otherwise.
func defaultCreation(v *view) *creation {
	switch v.master {
	case models.RepositoryMaster, models.RemoteMaster, models.ContentGuardMaster:
		return &creation{fields: v.shape.input(), run: v.createNow}
	case models.DistributionMaster:
		return &creation{fields: v.shape.input(), run: v.createLater, async: true}
	}
	return nil
}

// newRow parses a body into a new row and validates it.
func (v *view) newRow(ctx context.Context, c *call) (models.Row, error) {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return nil, err
	}
	row := v.typ.New()
	faults := FieldErrors{}
	b.expect(faults, v.create.fields)
	if err := c.decode(ctx, v.create.fields, b, row, creating, faults); err != nil {
		return nil, err
	}
	return row, c.checkRow(ctx, v, row, faults)
}

func (v *view) createNow(ctx context.Context, c *call) error {
	row, err := v.newRow(ctx, c)
	if err != nil {
		return err
	}
	if err := models.Create(ctx, c.db, row); err != nil {
		return taken(v, err)
	}
	return c.answerRow(ctx, http.StatusCreated, v, row)
}

func (v *view) createLater(ctx context.Context, c *call) error {
	row, err := v.newRow(ctx, c)
	if err != nil {
		return err
	}
	args, err := v.pack(row, v.columns)
	if err != nil {
		return err
	}
	locks := tasking.Options{}
	if v.master == models.DistributionMaster {
		locks.Exclusive = tasking.Named(c.named("distribution.base_path"))
		locks.Shared = tasking.Named(c.named("distributions"))
	}
	ticket, err := generalCreate.Dispatch(ctx, c.queue(), args, &locks)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}

// named returns the name of something in the domain that is no row but can be reserved.
func (c *call) named(what string) string { return "pdrn:" + c.db.Domain().ID.String() + ":" + what }

// pack returns fields of a row as the arguments of a general task.
func (v *view) pack(row models.Row, fields []*field) (rowArgs, error) {
	args := rowArgs{Master: v.master, Type: v.typ.Name(), ID: row.PulpID(), Fields: map[string]json.RawMessage{}}
	for _, f := range fields {
		raw, err := f.pack(row)
		if err != nil {
			return args, err
		}
		args.Fields[f.column] = raw
	}
	return args, nil
}

// handleUpdate returns the handler of PUT or PATCH.
func (v *view) handleUpdate(how presence) handler {
	return func(ctx context.Context, c *call) error {
		before, err := c.get(ctx, v)
		if err != nil {
			return err
		}
		after, err := c.get(ctx, v) // a second copy to change
		if err != nil {
			return err
		}
		b, err := readBody(c.w, c.r, nil)
		if err != nil {
			return err
		}
		faults := FieldErrors{}
		fields := v.shape.input()
		b.expect(faults, fields)
		if err := c.decode(ctx, fields, b, after, how, faults); err != nil {
			return err
		}
		if err := c.checkRow(ctx, v, after, faults); err != nil {
			return err
		}
		changed := v.changedFields(before, after)
		if len(changed) == 0 {
			return c.answerRow(ctx, http.StatusOK, v, before)
		}
		if v.master == models.ContentGuardMaster {
			return v.updateNow(ctx, c, after, changed)
		}
		return v.updateLater(ctx, c, after, changed)
	}
}

func (v *view) updateNow(ctx context.Context, c *call, row models.Row, changed []*field) error {
	columns := make([]string, len(changed))
	for i, f := range changed {
		columns[i] = f.column
	}
	if err := models.Update(ctx, c.db, row, columns...); err != nil {
		return taken(v, err)
	}
	return c.answerRow(ctx, http.StatusOK, v, row)
}

func (v *view) updateLater(ctx context.Context, c *call, row models.Row, changed []*field) error {
	args, err := v.pack(row, changed)
	if err != nil {
		return err
	}
	o := v.locks(c, row)
	o.Immediate = true
	for _, f := range changed {
		switch {
		case f.column == "base_path":
			o.Exclusive = append(o.Exclusive, tasking.Named(c.named("distribution.base_path"))...)
		case retains(f.column):
			o.Immediate = false // many versions may go
		}
	}
	ticket, err := generalUpdate.Dispatch(ctx, c.queue(), args, o)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}

// locks returns what an update or a deletion of a row reserves.
func (v *view) locks(c *call, row models.Row) *tasking.Options {
	o := &tasking.Options{Exclusive: tasking.On(row)}
	if v.master == models.DistributionMaster {
		o.Shared = tasking.Named(c.named("distributions"))
	}
	return o
}

func (v *view) handleDelete(ctx context.Context, c *call) error {
	row, err := c.get(ctx, v)
	if err != nil {
		return err
	}
	switch r := row.(type) {
	case models.AnyPublication:
		err = models.DeletePublication(ctx, c.db, r)
	case models.AnyContentGuard:
		err = models.Delete(ctx, c.db, row)
	default:
		return v.deleteLater(ctx, c, row)
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (v *view) deleteLater(ctx context.Context, c *call, row models.Row) error {
	o := v.locks(c, row)
	o.Immediate = v.master == models.DistributionMaster
	args := rowArgs{Master: v.master, Type: v.typ.Name(), ID: row.PulpID()}
	ticket, err := generalDelete.Dispatch(ctx, c.queue(), args, o)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}
