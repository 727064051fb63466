package work

import (
	"context"
	"fmt"
	"net/url"
	"path"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// FileArgs are a file of a unit to be made.
type FileArgs struct {
	RelativePath string     `json:"relative_path"`
	Artifact     *uuid.UUID `json:"artifact,omitempty"` // nil until the task has fetched the file
	Source       *Source    `json:"source,omitempty"`   // where the task fetches it; nil for an artifact
}

// Source is where a task fetches a file.
type Source struct {
	URL      string `json:"url"` // without credentials
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`

	Network *NetworkConfig `json:"network,omitempty"` // nil has the defaults
}

// Name returns the last part of the path, or "".
func (s *Source) Name() string {
	u, err := url.Parse(s.URL)
	if err != nil || path.Base("/"+u.Path) == "/" {
		return ""
	}
	return path.Base(u.Path)
}

// CompleteFunc completes a unit from a file that the task has fetched.
type CompleteFunc func(
	ctx context.Context, env *tasking.Env, t models.AnyType, unit models.AnyContent, at FileArgs, a *models.Artifact,
) error

// fetch fetches the files that are at a source, puts their artifacts into files and completes the unit.
func (complete CompleteFunc) fetch(
	ctx context.Context, env *tasking.Env, t models.AnyType, unit models.AnyContent, files []FileArgs,
) error {
	for i := range files {
		if files[i].Source == nil {
			continue
		}
		a, err := files[i].Source.fetch(ctx, env)
		if err != nil {
			return err
		}
		files[i].Artifact = &a.ID
		if err := complete(ctx, env, t, unit, files[i], a); err != nil {
			return err
		}
	}
	return nil
}

// fetch downloads the file into the store and returns its artifact.
func (s *Source) fetch(ctx context.Context, env *tasking.Env) (*models.Artifact, error) {
	// The client belongs to this file alone: there is no remote whose limits it would share with other tasks.
	config := s.Config(env.DB.Checksums())
	config.Log = env.Log
	c, err := download.New(config)
	if err != nil {
		return nil, fmt.Errorf("rest: client for file_url: %w", err)
	}
	defer func() { _ = c.Close() }() // it has nothing to write
	w, err := env.Store.NewArtifactWriter(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Abort() }() // bytes that stay behind are swept later
	if _, err := c.Stream(ctx, &download.Request{URL: s.URL}, w); err != nil {
		return nil, err
	}
	obj, err := w.Commit()
	if err != nil {
		return nil, err
	}
	a := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
	a.ID = models.NewID()
	return a, models.SaveArtifacts(ctx, env.DB, env.Store, []*models.Artifact{a})
}

// createContent saves a unit with its files and adds it to a repository. A unit that exists is not made again; it
// counts as created all the same, for that is where clients look.
//
// A version has transactions of its own, so this is three steps. Each of them finds what it has done already: a task
// that runs again after its worker died, and a client that asks again after a failure, end with the same rows.
func (a RowArgs) createContent(ctx context.Context, db *models.DB, c models.AnyContent) error {
	if err := a.saveUnit(ctx, db, c); err != nil {
		return err
	}
	if a.Repository != nil {
		if err := a.addTo(ctx, db, c); err != nil {
			return err
		}
	}
	// The record comes last: clients take the last of the created resources for the unit.
	return models.RecordCreated(ctx, db, models.PRNOf(c))
}

// saveUnit saves a unit, its files and its labels in one transaction.
func (a RowArgs) saveUnit(ctx context.Context, db *models.DB, c models.AnyContent) error {
	labels := c.AsContent().Labels
	return db.RetryTx(ctx, func(ctx context.Context, tx *models.Tx) error {
		// All anew, because a run that was rolled back has changed the unit.
		c.AsContent().Labels = labels
		unit := &models.ContentWithFiles{Content: c}
		for _, f := range a.Files {
			unit.Files = append(unit.Files, models.ContentFile{RelativePath: f.RelativePath, ArtifactID: f.Artifact})
		}
		if err := models.SaveContents(ctx, tx.DB, []*models.ContentWithFiles{unit}); err != nil {
			return err
		}
		// SaveContents returns a unit that existed with its own labels; the request's replace them.
		if len(labels) == 0 {
			return nil
		}
		c.AsContent().Labels = labels
		return models.Update(ctx, tx.DB, c, "pulp_labels")
	})
}

// addTo adds a unit to a new version of the repository. A unit that is in the latest version makes none.
func (a RowArgs) addTo(ctx context.Context, db *models.DB, c models.AnyContent) error {
	row, err := models.Cast(ctx, db, models.RepositoryMaster, *a.Repository)
	if err != nil {
		return err
	}
	repo, ok := row.(models.AnyRepository)
	if !ok {
		return fmt.Errorf("rest: %T is no repository", row)
	}
	_, _, err = models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
		return addUnits(ctx, v, []uuid.UUID{c.PulpID()}, a.KeepPlaces)
	})
	return err
}
