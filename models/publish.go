package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// NewPublication is a publication that is being built. Nobody sees it before the closure given to [Publish] returns.
type NewPublication struct {
	db    *DB
	store *storage.Store
	row   AnyPublication
}

// Publish creates a publication and lets fn fill it; an error from fn discards it with everything in it. The row names
// the version to publish in RepositoryVersionID. A task records it as created.
//
//	err := models.Publish(ctx, env.DB, env.Store, &Publication{…}, func(p *models.NewPublication) error {
//		return p.Metadata(ctx, "PULP_MANIFEST", manifest)
//	})
//
// Errors: what fn returns; NotFound if the version does not exist or is not complete.
func Publish(ctx context.Context, db *DB, store *storage.Store, row AnyPublication,
	fn func(p *NewPublication) error,
) error {
	pub := row.AsPublication()
	pub.Complete = false
	if _, err := VersionByID(ctx, db, pub.RepositoryVersionID); err != nil {
		return fmt.Errorf("models: publish: %w", err)
	}
	err := db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.Create(ctx, row); err != nil {
			return err
		}
		return tx.recordCreated(ctx, PRNOf(row), true)
	})
	if err != nil {
		return err
	}
	done := false
	defer func() { // also on panic
		if done {
			return
		}
		pub.Complete = false
		if err := DiscardPublication(context.WithoutCancel(ctx), db, pub.ID); err != nil {
			db.log.WarnContext(ctx, "an incomplete publication stays", "publication", pub.ID, "err", err)
		}
	}()
	if err := fn(&NewPublication{db: db, store: store, row: row}); err != nil {
		return err
	}
	err = db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		pub.Complete = true
		if err := tx.Update(ctx, row, "complete", "pass_through"); err != nil {
			return err
		}
		return tx.recordCreated(ctx, PRNOf(row), false)
	})
	done = err == nil
	return err
}

// Row returns the publication.
func (p *NewPublication) Row() AnyPublication { return p.row }

// Add publishes content artifacts under paths of the plugin's choice. A path can be used once per publication.
//
// Errors: Invalid for a path that is not canonical, Exists for a path used before.
func (p *NewPublication) Add(ctx context.Context, files ...*PublishedArtifact) error {
	for _, f := range files {
		if !ValidPath(f.RelativePath) {
			return invalidPath(f.RelativePath)
		}
		f.PublicationID = p.row.PulpID()
		f.stamp(Now())
	}
	for chunk := range slices.Chunk(files, batchSize) {
		err := p.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
			_, err := tx.q.NewInsert().Model(&chunk).Exec(ctx)
			return rowError(err, "published artifact", p.row.PulpID().String())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Metadata stores the bytes of r as a file of the publication, such as an index. Bytes that the store has already are
// not stored again. Mirrors PublishedMetadata.create_from_file.
//
// Errors: Invalid for a path that is not canonical, Exists for a path used before; Unavailable from the store.
func (p *NewPublication) Metadata(ctx context.Context, relativePath string, r io.Reader) error {
	artifact, err := NewArtifact(ctx, p.db, p.store, r, nil)
	if err != nil {
		return err
	}
	unit := &SavedUnit{
		Content: &PublishedMetadata{PublicationID: p.row.PulpID(), RelativePath: relativePath},
		Files:   []UnitFile{{RelativePath: relativePath, ArtifactID: &artifact.ID}},
	}
	return p.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := SaveUnits(ctx, tx.DB, []*SavedUnit{unit}); err != nil {
			return err
		}
		in := *p
		in.db = tx.DB
		return in.Add(ctx, &PublishedArtifact{ContentArtifactID: unit.Files[0].ID, RelativePath: relativePath})
	})
}

// DiscardPublication removes a publication that was not completed, with its metadata. One that is complete, or gone,
// stays as it is.
func DiscardPublication(ctx context.Context, db *DB, id uuid.UUID) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		var pulpType string
		err := tx.q.NewSelect().TableExpr("core_publication").Column("pulp_type").Where("pulp_id = ?", id).
			Where("NOT complete").Scan(ctx, &pulpType)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return rowError(err, "publication", id.String())
		}
		s := tx.registry.byType[PublicationMaster][pulpType]
		if s == nil {
			return fmt.Errorf("models: publication type %q: %w", pulpType, pulperr.Unsupported)
		}
		return tx.deletePublication(ctx, s, id)
	})
}

// DeletePublication removes a publication with the metadata that was made for it.
//
// Errors: NotFound.
func DeletePublication(ctx context.Context, db *DB, row AnyPublication) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error { return tx.deletePublication(ctx, s, row.PulpID()) })
}

// deletePublication removes published files in batches, so that no statement grows with the publication.
func (tx *Tx) deletePublication(ctx context.Context, s *schema, id uuid.UUID) error {
	for {
		res, err := tx.q.NewDelete().TableExpr("core_publishedartifact").Where(
			"pulp_id IN (SELECT pulp_id FROM core_publishedartifact WHERE publication_id = ? LIMIT 1000)", id).Exec(ctx)
		if err != nil {
			return rowError(err, "publication", id.String())
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			break
		}
	}
	_, err := tx.q.NewDelete().TableExpr("core_content").Where(
		"pulp_id IN (SELECT pulp_id FROM core_publishedmetadata WHERE publication_id = ?)", id).Exec(ctx)
	if err != nil {
		return rowError(err, "publication", id.String())
	}
	return tx.deleteRow(ctx, s, id)
}

// recordCreated notes that the handle's task made something, or that what it made is complete now.
func (db *DB) recordCreated(ctx context.Context, prn string, incomplete bool) error {
	if db.task == nil {
		return nil
	}
	res, err := db.q.NewUpdate().Model((*CreatedResource)(nil)).Set("incomplete = ?", incomplete).
		Where("task_id = ?", db.task.TaskID).Where("prn = ?", prn).Exec(ctx)
	if err != nil {
		return rowError(err, "created resource", prn)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	row := &CreatedResource{ID: NewID(), Created: Now(), TaskID: db.task.TaskID, PRN: prn, Incomplete: incomplete}
	_, err = db.q.NewInsert().Model(row).Exec(ctx)
	return rowError(err, "created resource", prn)
}

// RecordCreated notes that the task which db belongs to made the row; without a task it does nothing.
func RecordCreated(ctx context.Context, db *DB, prn string) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error { return tx.recordCreated(ctx, prn, false) })
}

// LatestPublication returns the newest complete publication of a repository: of its highest version that has one, the
// one made last. Of a single version if number is given.
//
// Errors: NotFound.
func LatestPublication(ctx context.Context, db *DB, repositoryID uuid.UUID, number *int) (AnyPublication, error) {
	var found struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	q := db.q.NewSelect().TableExpr("core_publication AS p").ColumnExpr("p.pulp_id, p.pulp_type").
		Join("JOIN core_repositoryversion AS v ON v.pulp_id = p.repository_version_id").
		Where("v.repository_id = ?", repositoryID).Where("p.complete").Where("NOT p.checkpoint").
		Where("p.pulp_domain_id = ?", db.domain.ID)
	if number != nil {
		q = q.Where("v.number = ?", *number)
	}
	err := q.OrderExpr("v.number DESC, p.pulp_id DESC").Limit(1).Scan(ctx, &found)
	if err != nil {
		return nil, rowError(err, "publication of repository", repositoryID.String())
	}
	row, err := db.get(ctx, PublicationMaster, found.Type, found.ID)
	if err != nil {
		return nil, err
	}
	pub, ok := row.(AnyPublication)
	if !ok {
		return nil, errors.New("models: a publication type without Publication")
	}
	return pub, nil
}
