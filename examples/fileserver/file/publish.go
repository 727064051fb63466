package file

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// publishArgs makes the task's arguments of what a client asked for.
func publishArgs(p *Publication) PublishArgs {
	return PublishArgs{RepositoryVersion: p.RepositoryVersionID, Publication: *p}
}

func publish(ctx context.Context, env *tasking.Env, a PublishArgs) error {
	version, err := models.VersionByID(ctx, env.DB, a.RepositoryVersion)
	if err != nil {
		return err
	}
	return publishVersion(ctx, env.DB, env.Store, version, &a.Publication)
}

// publishVersion makes the publication of a version, with a manifest of the version if it has a name for one.
func publishVersion(ctx context.Context, db *models.DB, store *storage.Store, v *models.RepositoryVersion,
	pub *Publication,
) error {
	pub.RepositoryVersionID, pub.PassThrough = v.ID, true
	return models.Publish(ctx, db, store, pub, func(p *models.NewPublication) error {
		if pub.Manifest == nil {
			return nil
		}
		// By a pipe, because the manifest of a large version must not be in memory as a whole.
		r, w := io.Pipe()
		written := make(chan error, 1)
		go func() {
			err := writeManifest(ctx, db, v, w)
			// Metadata must see an error in place of the end, or it would store half a manifest.
			w.CloseWithError(err)
			written <- err
		}()
		err := p.Metadata(ctx, *pub.Manifest, r)
		// If Metadata has failed early, the goroutine would wait in Write for ever.
		r.CloseWithError(errors.New("file: the manifest is not read any more"))
		// The goroutine reads from the database, so it must end before the publication is completed.
		return errors.Join(err, <-written)
	})
}

// OnNewVersion publishes the version if the repository has Autopublish. It implements [models.VersionObserver].
func (r *Repository) OnNewVersion(ctx context.Context, db *models.DB, v *models.RepositoryVersion) error {
	if !r.Autopublish {
		return nil
	}
	return publishVersion(ctx, db, db.Store(), v, &Publication{Manifest: r.Manifest})
}

// writeManifest writes the manifest of a version.
func writeManifest(ctx context.Context, db *models.DB, v *models.RepositoryVersion, w io.Writer) error {
	// Each Write to a pipe waits for its reader: lines are collected.
	b := bufio.NewWriter(w)
	for f, err := range v.Files(ctx, db) {
		if err != nil {
			return err
		}
		e := Entry{Path: f.RelativePath, SHA256: f.SHA256}
		if f.Size != nil {
			e.Size = *f.Size
		}
		if err := WriteEntry(b, e); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Validate checks the name of the manifest. It implements [models.Validator].
func (p *Publication) Validate() error { return checkManifestName(p.Manifest) }

// Validate checks the name of the manifest. It implements [models.Validator].
func (r *Repository) Validate() error { return checkManifestName(r.Manifest) }

func checkManifestName(name *string) error {
	if name != nil && !models.ValidPath(*name) {
		return pulperr.Field("manifest", "Relative path is not in canonical form. %s", *name)
	}
	return nil
}
