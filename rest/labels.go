package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
)

// label is a label of a row, as requests set it and answers show it.
type label struct {
	Key   string  `json:"key" rest:"required,verbatim" doc:"The label's key."`
	Value *string `json:"value" rest:"required,verbatim,blank" doc:"The label's value."`
}

// oldLabel is a label that was taken away.
type oldLabel label

type labelKey struct {
	Key string `json:"key" rest:"required,verbatim" doc:"The label's key."`
}

// mountLabels adds the operations on the labels of a view's rows.
func mountLabels[T any](c *compiler, v *view) {
	set := Operation{Name: "set_label", Summary: "Set a label", Status: []int{http.StatusCreated}, body: "SetLabel"}
	// Pulp answers 201 when a label is removed, too.
	unset := Operation{Name: "unset_label", Summary: "Unset a label", Status: set.Status, body: "UnsetLabel"}
	// change reads the row under its lock. A row that was read earlier could miss a label that was set meanwhile.
	set.noRow, unset.noRow = true, true
	for _, a := range []Action[T]{
		Do(set, func(ctx context.Context, r *Request[T], in *label) (*label, error) {
			if reason := schema.CheckLabel(in.Key, in.Value); reason != "" {
				return nil, FieldErrors{NonField: {reason}}
			}
			return in, labelsOf{v}.change(ctx, r.request, func(labels models.Labels) error {
				labels[in.Key] = in.Value
				return nil
			})
		}),
		Do(unset, func(ctx context.Context, r *Request[T], in *labelKey) (*oldLabel, error) {
			old := &oldLabel{Key: in.Key}
			return old, labelsOf{v}.change(ctx, r.request, func(labels models.Labels) error {
				value, ok := labels[in.Key]
				if !ok {
					return FieldErrors{"key": {fmt.Sprintf("Label '%s' is not set on the object.", in.Key)}}
				}
				old.Value = value
				delete(labels, in.Key)
				return nil
			})
		}),
	} {
		a.build(&v.subject).mount(c)
	}
}

// labelsOf is the labels of the rows of a view.
type labelsOf struct{ *view }

// change lets fn change the labels of the row that the request's path names.
func (v labelsOf) change(ctx context.Context, q *request, fn func(models.Labels) error) error {
	id, err := q.id(v.class)
	if err != nil {
		return err
	}
	return q.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		// The update locks the row, so that two requests at once do not undo each other.
		_, err := tx.Bun().NewUpdate().TableExpr("?", bun.Ident(v.master.Table)).Set("pulp_labels = pulp_labels").
			Where("pulp_id = ?", id).Where("pulp_domain_id = ?", tx.Domain().ID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("rest: lock %s %s: %w", v.master.Name, id, err)
		}
		// The row is read inside the transaction, or a label that another request set meanwhile would be lost.
		within := *q
		within.db = tx.DB
		row, err := v.requested(ctx, &within)
		if err != nil {
			return err
		}
		labels := v.master.labels(row)
		if *labels == nil {
			*labels = models.Labels{}
		}
		if err := fn(*labels); err != nil {
			return err
		}
		return models.Update(ctx, tx.DB, row, "pulp_labels")
	})
}
