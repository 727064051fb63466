package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

type labelInput struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

func (v *view) handleSetLabel(ctx context.Context, c *call) error {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return err
	}
	key, reasons := readLabelKey(b)
	faults := FieldErrors{}
	b.expect(faults, nil, "key", "value")
	faults.add("key", reasons...)
	raw, present := b["value"]
	if !present {
		faults.add("value", msgRequired)
	}
	value, reasons := parseLabelValue(raw)
	faults.add("value", reasons...)
	if reason := checkLabel(key, value); reason != "" && len(faults) == 0 {
		faults.add(NonField, reason)
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	err = v.changeLabels(ctx, c, func(l models.Labels) error {
		l[key] = value
		return nil
	})
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusCreated, labelInput{key, value})
	return nil
}

func readLabelKey(b body) (string, []string) {
	raw, ok := b["key"]
	if !ok {
		return "", []string{msgRequired}
	}
	if raw == nil {
		return "", []string{msgNull}
	}
	key, reasons := plainText(raw)
	if reasons == nil && key == "" {
		reasons = []string{msgBlank}
	}
	return key, reasons
}

func (v *view) handleUnsetLabel(ctx context.Context, c *call) error {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return err
	}
	key, reasons := readLabelKey(b)
	faults := FieldErrors{}
	b.expect(faults, nil, "key")
	faults.add("key", reasons...)
	if err := faults.orNil(); err != nil {
		return err
	}
	var old *string
	err = v.changeLabels(ctx, c, func(l models.Labels) error {
		value, ok := l[key]
		if !ok {
			return FieldErrors{"key": {fmt.Sprintf("Label '%s' is not set on the object.", key)}}
		}
		old = value
		delete(l, key)
		return nil
	})
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusCreated, labelInput{key, old})
	return nil
}

// changeLabels lets fn change the labels of the row that the request's path names. The row is locked meanwhile, so that
// two requests at once do not undo each other.
func (v *view) changeLabels(ctx context.Context, c *call, fn func(models.Labels) error) error {
	id, err := c.id(v.class)
	if err != nil {
		return err
	}
	return c.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		table := bun.Ident(v.master.Table())
		_, err := tx.Bun().NewUpdate().TableExpr("?", table).Set("pulp_labels = pulp_labels").
			Where("pulp_id = ?", id).Where("pulp_domain_id = ?", tx.Domain().ID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("rest: lock %s %s: %w", v.master, id, err)
		}
		inTx := *c
		inTx.db = tx.DB
		row, err := inTx.get(ctx, v)
		if err != nil {
			return err
		}
		labels := labelsOf(row)
		if *labels == nil {
			*labels = models.Labels{}
		}
		if err := fn(*labels); err != nil {
			return err
		}
		return models.Update(ctx, tx.DB, row, "pulp_labels")
	})
}

func labelsOf(row models.Row) *models.Labels {
	switch r := row.(type) {
	case models.AnyContent:
		return &r.AsContent().Labels
	case models.AnyRepository:
		return &r.AsRepository().Labels
	case models.AnyRemote:
		return &r.AsRemote().Labels
	case models.AnyDistribution:
		return &r.AsDistribution().Labels
	}
	return new(models.Labels)
}
