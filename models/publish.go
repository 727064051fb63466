package models

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// NewPublication is a publication that is being built. It is invisible until the closure given to [Publish] returns.
type NewPublication struct {
	db    *DB
	store *storage.Store
	row   AnyPublication
	done  bool // it is complete
}

// Publish creates a publication and lets fn fill it; an error from fn discards it with everything in it. The row names
// the version to publish in RepositoryVersionID. A task records it as created.
//
//	err := models.Publish(ctx, env.DB, env.Store, &Publication{…}, func(p *models.NewPublication) error {
//		return p.Metadata(ctx, "PULP_MANIFEST", manifest)
//	})
//
// Errors: what fn returns; NotFound if the version does not exist, is not complete, or is deleted meanwhile; Invalid if
// two files have one path, or one has the path of a folder in which another one is.
func Publish(ctx context.Context, db *DB, store *storage.Store, row AnyPublication,
	fn func(p *NewPublication) error,
) error {
	pub := row.AsPublication()
	pub.Complete = false
	err := db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		// A deletion of the version waits for this transaction, and then finds and removes the publication.
		if err := (rowHolder{tx}).version(ctx, pub.RepositoryVersionID); err != nil {
			return fmt.Errorf("models: publish: %w", err)
		}
		if err := Create(ctx, tx.DB, row); err != nil {
			return err
		}
		// Recorded as incomplete, so that the publication is discarded if its task does not complete.
		return createdResources{tx.DB}.record(ctx, PRNOf(row), true)
	})
	if err != nil {
		return err
	}
	p := &NewPublication{db: db, store: store, row: row}
	// Deferred, so that a panic of fn does not leave the incomplete publication either.
	defer p.discard(ctx)
	if err := fn(p); err != nil {
		return err
	}
	return p.complete(ctx)
}

// placePublication copies from the version of a publication by what the newest of a repository are looked up.
func placePublication(ctx context.Context, tx *Tx, id uuid.UUID) error {
	of := func(column string) string {
		return "(SELECT v." + column + " FROM core_repositoryversion AS v WHERE v.pulp_id = repository_version_id)"
	}
	_, err := tx.q.NewUpdate().TableExpr("core_publication").Set("repository_id = "+of("repository_id")).
		Set("version_number = "+of("number")).Where("pulp_id = ?", id).Exec(ctx)
	return rowError(err, "publication", id.String())
}

// complete checks the paths of the publication and makes it visible.
func (p *NewPublication) complete(ctx context.Context) error {
	pub := p.row.AsPublication()
	version, err := VersionByID(ctx, p.db, pub.RepositoryVersionID)
	if err != nil {
		return fmt.Errorf("models: publish: %w", err)
	}
	// Before the transaction: it reads all paths, for which all writers of SQLite would wait.
	if err := p.checkPaths(ctx, version); err != nil {
		return err
	}
	err = p.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		// The version is locked before its publication, as when a version is deleted. The other order could deadlock.
		if err := (rowHolder{tx}).version(ctx, version.ID); err != nil {
			return fmt.Errorf("models: publish: %w", err)
		}
		if err := (rowHolder{tx}).publication(ctx, pub.ID); err != nil {
			return err
		}
		pub.Complete = true
		if err := Update(ctx, tx.DB, p.row, "complete", "pass_through"); err != nil {
			return err
		}
		return createdResources{tx.DB}.record(ctx, PRNOf(p.row), false)
	})
	p.done = err == nil
	// The closure has set it to true, but its transaction may have failed.
	pub.Complete = p.done
	if err != nil || !pub.Checkpoint {
		return err
	}
	if err := (retention{p.db, version.RepositoryID}).checkpoints(ctx); err != nil {
		// The publication is complete all the same, and the next checkpoint tries again.
		p.db.Log().WarnContext(ctx, "old checkpoints stay", "repository", version.RepositoryID, "err", err)
	}
	return nil
}

// discard removes a publication that did not become complete.
func (p *NewPublication) discard(ctx context.Context) {
	if p.done {
		return
	}
	// The end of the context may be why the publication is incomplete. The removal must not end with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := DiscardPublication(ctx, p.db, p.row.PulpID()); err != nil {
		p.db.Log().WarnContext(ctx, "an incomplete publication stays", "publication", p.row.PulpID(), "err", err)
	}
}

// checkPaths fails if a client could not get all files of the publication, because two have the same path, or one has
// the path of a folder in which another one is. The same bytes twice under one path are one file.
func (p *NewPublication) checkPaths(ctx context.Context, v *RepositoryVersion) error {
	// A file without an artifact, which is still at the remote, is compared by its own key.
	const published = `SELECT pa.relative_path AS path, COALESCE(ca.artifact_id, ca.pulp_id) AS file
		FROM core_publishedartifact AS pa JOIN core_contentartifact AS ca ON ca.pulp_id = pa.content_artifact_id
		WHERE pa.publication_id = ?0`
	// UNION, not UNION ALL: one artifact twice under one path is one file.
	const passed = ` UNION SELECT ca.relative_path AS path, COALESCE(ca.artifact_id, ca.pulp_id) AS file
		FROM core_repositorycontent AS rc JOIN core_contentartifact AS ca ON ca.content_id = rc.content_id
		WHERE rc.repository_id = ?1 AND rc.version_added <= ?2 AND (rc.version_removed IS NULL OR rc.version_removed > ?2)`
	files := published
	if p.row.AsPublication().PassThrough {
		files += passed
	}
	var clash struct {
		Before string `bun:"before"`
		Path   string `bun:"path"`
	}
	// The separator is replaced by the first of all characters, so that a file in a folder sorts right after a file with
	// the folder's name. One comparison of neighbours then finds every clash.
	err := p.db.Bun().NewRaw(`SELECT before, path FROM (SELECT f.path, LAG(f.path) OVER (ORDER BY f.place) AS before
		FROM (SELECT path, REPLACE(path, '/', ?3) AS place FROM (`+files+`) AS u) AS f) AS s
		WHERE path = before OR SUBSTR(path, 1, LENGTH(before) + 1) = before || '/' LIMIT 1`,
		p.row.PulpID(), v.RepositoryID, v.Number, "\x01").Scan(ctx, &clash)
	switch {
	case isNoRows(err):
		return nil
	case err != nil:
		return rowError(err, "paths of publication", p.row.PulpID().String())
	case clash.Path == clash.Before:
		return pulperr.Public(pulperr.Invalid, "two files of the publication have the path %q", clash.Path)
	}
	return pulperr.Public(pulperr.Invalid,
		"the publication cannot have a file %q beside %q, which is in a folder of that name", clash.Before, clash.Path)
}

// Row returns the publication.
func (p *NewPublication) Row() AnyPublication { return p.row }

// Add publishes content artifacts under paths of the plugin's choice. A path can be used once per publication.
//
// Errors: Invalid for a path that is not canonical, Exists for a path used before; NotFound if the publication was
// deleted meanwhile, with its version.
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
			// The rows have no foreign key to the publication. Without the lock, rows that are inserted after its deletion would
			// stay.
			if err := (rowHolder{tx}).publication(ctx, p.row.PulpID()); err != nil {
				return err
			}
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
	// The bytes are stored before the transaction, because all other writers of SQLite would wait for a slow store.
	artifact, err := NewArtifact(ctx, p.db, p.store, r, nil)
	if err != nil {
		return err
	}
	unit := &ContentWithFiles{
		Content: &PublishedMetadata{PublicationID: p.row.PulpID(), RelativePath: relativePath},
		Files:   []ContentFile{{RelativePath: relativePath, ArtifactID: &artifact.ID}},
	}
	return p.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := (rowHolder{tx}).publication(ctx, p.row.PulpID()); err != nil {
			return err
		}
		if err := SaveContents(ctx, tx.DB, []*ContentWithFiles{unit}); err != nil {
			return err
		}
		in := *p
		in.db = tx.DB
		return in.Add(ctx, &PublishedArtifact{ContentArtifactID: unit.Files[0].ID, RelativePath: relativePath})
	})
}

// DiscardPublication removes a publication that was not completed, with its metadata. A complete publication stays as
// it is, and a publication that is gone is no error.
func DiscardPublication(ctx context.Context, db *DB, id uuid.UUID) error {
	owner := ownerRemover{id: id}
	err := db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		// The lock keeps its builder from completing it before the row is deleted.
		if err := (rowHolder{tx}).publication(ctx, id); err != nil {
			return err
		}
		var pulpType string
		err := tx.q.NewSelect().TableExpr("core_publication").Column("pulp_type").Where("pulp_id = ?", id).
			Scan(ctx, &pulpType)
		if err != nil {
			return rowError(err, "publication", id.String())
		}
		s := tx.registry.byType[PublicationMaster][pulpType]
		if s == nil {
			return fmt.Errorf("models: publication type %q belongs to no plugin of this App: %w", pulpType, pulperr.Unsupported)
		}
		// db and not tx.DB, because followUp runs after the transaction.
		owner.table = table{s, db}
		return owner.removeRow(ctx, tx)
	})
	if err != nil {
		return ignoreNotFound(err)
	}
	return owner.followUp(ctx)
}

// DeletePublication removes a publication with the metadata that was made for it. It is gone at once; its files follow
// in batches; after a crash [RemoveLeftovers] removes the rest.
//
// Errors: NotFound.
func DeletePublication(ctx context.Context, db *DB, row AnyPublication) error {
	return Delete(ctx, db, row)
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
	// With these conditions and this order the database can read the index core_publication_newest.
	q := db.q.NewSelect().TableExpr("core_publication AS p").ColumnExpr("p.pulp_id, p.pulp_type").
		Where("p.repository_id = ?", repositoryID).Where("p.complete").Where("NOT p.checkpoint").
		Where("p.pulp_domain_id = ?", db.domain.ID)
	if number != nil {
		q = q.Where("p.version_number = ?", *number)
	}
	err := q.OrderExpr("p.version_number DESC, p.pulp_id DESC").Limit(1).Scan(ctx, &found)
	if err != nil {
		return nil, rowError(err, "publication of repository", repositoryID.String())
	}
	row, err := Load(ctx, db, PublicationMaster, found.Type, found.ID)
	if err != nil {
		return nil, err
	}
	return row.(AnyPublication), nil
}
