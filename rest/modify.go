package rest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// modifyArgs are the arguments of the task behind modify.
type modifyArgs struct {
	Repository uuid.UUID   `json:"repository"`
	Base       *uuid.UUID  `json:"base_version,omitempty"`
	Add        []uuid.UUID `json:"add"`
	Remove     []uuid.UUID `json:"remove"`
	RemoveAll  bool        `json:"remove_all"`
}

// lookupBatch is how many keys go into one statement.
const lookupBatch = 1000

// handleModify adds units to a repository and removes others.
func (v *view) handleModify(ctx context.Context, c *call) error {
	repo, err := c.get(ctx, v)
	if err != nil {
		return err
	}
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return err
	}
	args := modifyArgs{Repository: repo.PulpID()}
	faults := FieldErrors{}
	b.expect(faults, nil, "add_content_units", "remove_content_units", "base_version")
	if args.Add, err = c.readUnits(ctx, b, "add_content_units", faults); err != nil {
		return err
	}
	if list, ok := b["remove_content_units"].([]any); ok && slices.Contains(list, any("*")) {
		args.RemoveAll = true
		if len(list) > 1 {
			faults.add("remove_content_units", "Cannot supply content units and '*'.")
		}
	} else if args.Remove, err = c.readUnits(ctx, b, "remove_content_units", faults); err != nil {
		return err
	}
	if raw, ok := b["base_version"]; ok && raw != nil && raw != "" {
		base := &field{name: "base_version", form: refForm}
		text, reasons := base.parse(raw)
		if reasons == nil {
			var id uuid.UUID
			if id, reasons, err = c.api.resolve(ctx, c.db, versionKind, fmt.Sprint(text)); err != nil {
				return err
			}
			args.Base = &id
		}
		faults.add("base_version", reasons...)
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	ticket, err := addAndRemove.Dispatch(ctx, c.queue(), args, &tasking.Options{Exclusive: tasking.On(repo)})
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}

// readUnits returns the keys of the content units that a member of the body names, all of which must exist.
func (c *call) readUnits(ctx context.Context, b body, name string, faults FieldErrors) ([]uuid.UUID, error) {
	raw, ok := b[name]
	if !ok {
		return nil, nil
	}
	list, ok := unfold(raw).([]any)
	if text, isText := raw.(string); isText && !ok {
		list, ok = []any{text}, true // a form with one value
	}
	if !ok {
		faults.add(name, fmt.Sprintf("Expected a list of items but got type %q.", typeName(raw)))
		return nil, nil
	}
	texts := make(map[uuid.UUID]string, len(list))
	ids := make([]uuid.UUID, 0, len(list))
	for _, item := range list {
		text, _ := item.(string)
		t, ok := c.api.parseRef(text)
		if !ok || t.kind != string(models.ContentMaster) {
			faults.add(name, "URI not valid: "+shorten(text))
			return nil, nil
		}
		if texts[t.id] == "" {
			ids = append(ids, t.id)
		}
		texts[t.id] = text
	}
	missing, err := c.missingUnits(ctx, ids)
	if err != nil || len(missing) == 0 {
		return ids, err
	}
	var quoted []string
	for _, id := range missing[:min(len(missing), 100)] {
		quoted = append(quoted, "'"+texts[id]+"'")
	}
	faults.add(name, "Could not find the following content units: ["+strings.Join(quoted, ", ")+"]")
	return ids, nil
}

// missingUnits returns those keys that no content unit of the domain has.
func (c *call) missingUnits(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	var missing []uuid.UUID
	for chunk := range slices.Chunk(ids, lookupBatch) {
		var found []uuid.UUID
		err := c.db.Bun().NewSelect().TableExpr("core_content").Column("pulp_id").
			Where("pulp_id IN (?)", bun.List(chunk)).Where("pulp_domain_id = ?", c.db.Domain().ID).Scan(ctx, &found)
		if err != nil {
			return nil, fmt.Errorf("rest: look up content units: %w", err)
		}
		if len(found) == len(chunk) {
			continue
		}
		for _, id := range chunk {
			if !slices.Contains(found, id) {
				missing = append(missing, id)
			}
		}
	}
	return missing, nil
}

func runModify(ctx context.Context, env *tasking.Env, a modifyArgs) error {
	row, err := models.Cast(ctx, env.DB, models.RepositoryMaster, a.Repository)
	if err != nil {
		return err
	}
	repo, ok := row.(models.AnyRepository)
	if !ok {
		return fmt.Errorf("rest: %T is no repository", row)
	}
	opts := &models.VersionOptions{}
	if a.Base != nil {
		if opts.Base, err = models.VersionByID(ctx, env.DB, *a.Base); err != nil {
			return err
		}
	}
	_, _, err = models.CreateVersion(ctx, env.DB, repo, opts, func(v *models.NewVersion) error {
		if a.RemoveAll {
			if _, err := v.RemoveAll(ctx); err != nil {
				return err
			}
		}
		if _, err := v.Remove(ctx, a.Remove); err != nil {
			return err
		}
		_, err := v.Add(ctx, a.Add)
		return err
	})
	return err
}
