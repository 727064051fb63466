package stages

import (
	"context"
	"errors"
	"iter"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// QueryExistingContents gives declared units that exist the identity of the saved units. It asks the database for each
// batch and keeps no unit of an earlier batch in memory.
type QueryExistingContents struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *QueryExistingContents) Run(ctx context.Context, in *In, out *Out) error {
	return forBatches(ctx, in, out, s.query)
}

func (s *QueryExistingContents) query(ctx context.Context, batch []*DeclarativeContent) error {
	units := make([]models.AnyContent, len(batch))
	for i, dc := range batch {
		units[i] = dc.Content
	}
	found, err := models.FindContents(ctx, s.DB, units)
	if err != nil {
		return err
	}
	for i, dc := range batch {
		dc.found = found[i]
	}
	return nil
}

// ContentSaver saves units and their content artifacts in bulk. Units that exist get the artifacts they lacked.
type ContentSaver struct {
	DB *models.DB

	// After, if it is set, runs in the transaction that saved a batch: for rows of the plugin's own that belong to
	// the units. It may run again if the transaction has to.
	After func(ctx context.Context, tx *models.Tx, batch []*DeclarativeContent) error

	// OnError decides about a unit that exists with other bytes: nil leaves it out, an error ends the sync.
	// err is a [models.FileConflictError]. Default: err.
	OnError func(ctx context.Context, dc *DeclarativeContent, err error) error
}

// Run implements [Stage].
func (s *ContentSaver) Run(ctx context.Context, in *In, out *Out) error {
	for batch, err := range in.Batches(ctx, 0) {
		if err != nil {
			return err
		}
		batch, err := s.saveFitting(ctx, batch)
		if err != nil {
			return err
		}
		if err := putAll(ctx, out, batch); err != nil {
			return err
		}
	}
	return nil
}

// saveFitting saves a batch and returns it without the units that OnError leaves out.
func (s *ContentSaver) saveFitting(ctx context.Context, batch []*DeclarativeContent) ([]*DeclarativeContent, error) {
	for {
		err := s.save(ctx, batch)
		conflict, ok := errors.AsType[*models.FileConflictError](err)
		if !ok || s.OnError == nil {
			return batch, err
		}
		differ := map[models.AnyContent]bool{}
		for _, f := range conflict.Files {
			differ[f.Content] = true
		}
		var fitting []*DeclarativeContent
		for _, dc := range batch {
			if !differ[dc.Content] {
				fitting = append(fitting, dc)
				continue
			}
			if err := s.OnError(ctx, dc, conflict); err != nil {
				return nil, err
			}
			dc.Skip(conflict)
		}
		// The error names no unit of the batch. Saving the same batch again would fail without end.
		if len(fitting) == len(batch) {
			return nil, conflict
		}
		// The conflict has rolled back the whole batch, so the other units are saved again.
		batch = fitting
	}
}

func (s *ContentSaver) save(ctx context.Context, batch []*DeclarativeContent) error {
	units := make([]*models.ContentWithFiles, len(batch))
	for i, dc := range batch {
		unit := &models.ContentWithFiles{
			Content: dc.Content, Exists: dc.found, Files: make([]models.ContentFile, len(dc.Artifacts)),
		}
		for j, da := range dc.Artifacts {
			unit.Files[j].RelativePath = da.RelativePath
			if da.saved() {
				unit.Files[j].ArtifactID = &da.Artifact.ID
			}
		}
		units[i] = unit
	}
	if err := s.write(ctx, units, batch); err != nil {
		return err
	}
	for i, dc := range batch {
		for j, da := range dc.Artifacts {
			da.contentArtifact = units[i].Files[j].ID
		}
	}
	return nil
}

func (s *ContentSaver) write(ctx context.Context, units []*models.ContentWithFiles, batch []*DeclarativeContent) error {
	if s.After == nil {
		return models.SaveContents(ctx, s.DB, units)
	}
	// The hook runs in the same transaction, so that a batch is not saved if the hook fails.
	return s.DB.RetryTx(ctx, func(ctx context.Context, tx *models.Tx) error {
		if err := models.SaveContents(ctx, tx.DB, units); err != nil {
			return err
		}
		return s.After(ctx, tx, batch)
	})
}

// ResolveContentFutures ends the calls of [DeclarativeContent.Resolution] that wait for a unit.
type ResolveContentFutures struct{}

// Run implements [Stage].
func (ResolveContentFutures) Run(ctx context.Context, in *In, out *Out) error {
	for dc, err := range in.Items(ctx) {
		if err != nil {
			return err
		}
		dc.resolve()
		if err := out.Put(ctx, dc); err != nil {
			return err
		}
	}
	return nil
}

// ContentAssociation adds the units to the version. With Mirror it removes the units that were not declared, at the end
// of its input and only if no stage has failed.
type ContentAssociation struct {
	Env     *tasking.Env
	Version *models.NewVersion
	Mirror  bool
}

// Run implements [Stage].
func (s *ContentAssociation) Run(ctx context.Context, in *In, out *Out) error {
	err := s.Env.Progress(ctx, "Associating Content", "associating.content", func(p *tasking.Progress) error {
		return forBatches(ctx, in, out, func(ctx context.Context, batch []*DeclarativeContent) error {
			ids := make([]uuid.UUID, len(batch))
			for i, dc := range batch {
				ids[i] = dc.Content.PulpID()
			}
			added, err := s.Version.Add(ctx, ids)
			if err != nil {
				return err
			}
			if s.Mirror {
				if err := s.Version.MarkSeen(ctx, ids); err != nil {
					return err
				}
			}
			p.Add(added)
			return nil
		})
	})
	// After a failed run, RemoveUnseen would remove units only because their declaration did not arrive.
	if err != nil || !s.Mirror {
		return err
	}
	return s.Env.Progress(ctx, "Un-Associating Content", "unassociating.content", func(p *tasking.Progress) error {
		removed, err := s.Version.RemoveUnseen(ctx)
		p.Add(removed)
		return err
	})
}

// artifacts yields the declared artifacts of all units of a batch.
func artifacts(batch []*DeclarativeContent) iter.Seq[*DeclarativeArtifact] {
	return func(yield func(*DeclarativeArtifact) bool) {
		for _, dc := range batch {
			for _, da := range dc.Artifacts {
				if !yield(da) {
					return
				}
			}
		}
	}
}
