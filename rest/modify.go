package rest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// modifyInput is the body of modify.
type modifyInput struct {
	Add       []string   `json:"add_content_units" doc:"hrefs or PRNs of units to add."`
	Remove    []string   `json:"remove_content_units" doc:"hrefs or PRNs of units to remove, or '*' for all."`
	Overwrite bool       `json:"overwrite" rest:"default=true" doc:"Whether units may take the places of others."`
	Base      *uuid.UUID `json:"base_version" rest:"ref=repositoryversion" doc:"The version to start from, if not the last."`
}

// modify returns the operation that adds units to a repository and removes others.
func modify[T any]() Action[T] {
	op := Operation{Name: "modify", Summary: "Modify repository content", body: "RepositoryAddRemoveContent"}
	return Do(op, func(ctx context.Context, r *Request[T], in *modifyInput) (*Accepted, error) {
		repository, ok := any(r.Row).(models.Row)
		if !ok {
			return nil, fmt.Errorf("rest: %T is not a row", r.Row)
		}
		args := work.ModifyArgs{Repository: repository.PulpID(), Base: in.Base, KeepPlaces: !in.Overwrite}
		faults := FieldErrors{}
		var err error
		if args.Add, err = r.request.units(ctx, "add_content_units", in.Add, faults); err != nil {
			return nil, err
		}
		if args.RemoveAll = slices.Contains(in.Remove, "*"); !args.RemoveAll {
			args.Remove, err = r.request.units(ctx, "remove_content_units", in.Remove, faults)
		} else if len(in.Remove) > 1 {
			faults.Add("remove_content_units", "Cannot supply content units and '*'.")
		}
		if err != nil {
			return nil, err
		}
		if err := faults.OrNil(); err != nil {
			return nil, err
		}
		// A version is made from the latest one, so two tasks must not make versions of one repository at the same time.
		o := &tasking.DispatchOptions{Exclusive: tasking.On(repository)}
		return r.request.ticket(work.AddAndRemove.Dispatch(ctx, r.Queue, args, o))
	})
}

// units returns the keys of the content units that a member of the body names. All of them must exist.
func (q *request) units(ctx context.Context, name string, list []string, faults FieldErrors) ([]uuid.UUID, error) {
	texts := make(map[uuid.UUID]string, len(list))
	keys := make([]uuid.UUID, 0, len(list))
	for _, text := range list {
		t, ok := q.links.Parse(text)
		if !ok || t.Kind != string(models.ContentMaster) {
			faults.Add(name, "URI not valid: "+wire.Shorten(text))
			return nil, nil
		}
		// A unit that is named twice, by href and by PRN, is one key.
		if texts[t.ID] == "" {
			keys = append(keys, t.ID)
		}
		texts[t.ID] = text
	}
	missing, err := q.missingUnits(ctx, keys)
	if err != nil || len(missing) == 0 {
		return keys, err
	}
	// All units are in one reason, so the limit of reasons in an answer does not bound them.
	const most = 100
	var quoted []string
	for _, id := range missing[:min(len(missing), most)] {
		quoted = append(quoted, "'"+texts[id]+"'")
	}
	faults.Add(name, "Could not find the following content units: ["+strings.Join(quoted, ", ")+"]")
	return keys, nil
}

// missingUnits returns the keys that no content unit of the domain has.
func (q *request) missingUnits(ctx context.Context, keys []uuid.UUID) ([]uuid.UUID, error) {
	var missing []uuid.UUID
	for chunk := range slices.Chunk(keys, links.Batch) {
		var found []uuid.UUID
		err := q.db.Bun().NewSelect().TableExpr("core_content").Column("pulp_id").
			Where("pulp_id IN (?)", bun.List(chunk)).Where("pulp_domain_id = ?", q.db.Domain().ID).Scan(ctx, &found)
		if err != nil {
			return nil, fmt.Errorf("rest: look up content units: %w", err)
		}
		// The keys are unique, so equal numbers mean that every unit exists. The search below is quadratic in the chunk.
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
