package models_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// The types of a small plugin. A File takes its path in a repository version; a Note takes no place.
type (
	File struct {
		models.Content
		Path   string  `json:"relative_path" pulp:"natural,repo" doc:"Path within the repository."`
		Digest string  `json:"digest" pulp:"natural"`
		Arch   *string `json:"arch" pulp:"repo"`
	}
	Note struct {
		models.Content
		Text string `json:"text" pulp:"natural"`
	}
	Stranger struct {
		models.Content
		Text string `json:"text" pulp:"natural"`
	}
	Repo   struct{ models.Repository }
	Remote struct {
		models.Remote
		Token     secrets.EncryptedText `json:"token"`
		Fanciness int                   `json:"fanciness"`
	}
	// HookRepo does what a test wants at each hook.
	HookRepo struct {
		models.Repository
		initialize, finalize func(ctx context.Context, v *models.NewVersion) error
		observe              func(ctx context.Context, db *models.DB, v *models.RepositoryVersion) error
	}
	Publication  struct{ models.Publication }
	Distribution struct{ models.Distribution }
)

var (
	files         = models.Define[File]("test.file")
	notes         = models.Define[Note]("test.note")
	strangers     = models.Define[Stranger]("test.stranger")
	remotes       = models.Define[Remote]("test.test")
	repos         = models.Define[Repo]("test.test", models.Accepts(files, notes), models.SyncsFrom(remotes))
	hookRepos     = models.Define[HookRepo]("test.hook", models.Accepts(files, notes))
	publications  = models.Define[Publication]("test.test")
	distributions = models.Define[Distribution]("test.test")
)

func (r *HookRepo) InitializeNewVersion(ctx context.Context, v *models.NewVersion) error {
	return r.initialize(ctx, v)
}

func (r *HookRepo) FinalizeNewVersion(ctx context.Context, v *models.NewVersion) error {
	return r.finalize(ctx, v)
}

func (r *HookRepo) OnNewVersion(ctx context.Context, db *models.DB, v *models.RepositoryVersion) error {
	return r.observe(ctx, db, v)
}

func testSet() models.PluginModels {
	return models.PluginModels{Plugin: "test", Types: []models.AnyType{
		files, notes, strangers, remotes, repos, hookRepos, publications, distributions,
	}}
}

// TestMain keeps the random tests short; -rapid.checks=N makes them as long as wanted.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "12", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// each runs fn with a handle on an empty, migrated database of each kind.
func each(t *testing.T, fn func(t *testing.T, db *models.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, open(t, url))
	})
}

func open(t testing.TB, url string) *models.DB {
	t.Helper()
	return modelstest.Open(t, url, nil, testSet())
}

var serial atomic.Int64

// newRepo makes a repository with a name of its own.
func newRepo(t testing.TB, db *models.DB) *Repo {
	t.Helper()
	r := &Repo{}
	r.Name = fmt.Sprintf("repo-%d", serial.Add(1))
	if err := repos.Create(t.Context(), db, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// newNotes makes n units of type test.note.
func newNotes(t testing.TB, db *models.DB, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	units := make([]*models.ContentWithFiles, n)
	for i := range units {
		units[i] = &models.ContentWithFiles{Content: &Note{Text: fmt.Sprintf("note %d", serial.Add(1))}}
	}
	if err := models.SaveContents(t.Context(), db, units); err != nil {
		t.Fatal(err)
	}
	for i, u := range units {
		ids[i] = u.Content.PulpID()
	}
	return ids
}

// newFile makes a unit of type test.file.
func newFile(t testing.TB, db *models.DB, path, digest string, arch *string) uuid.UUID {
	t.Helper()
	f := &File{Path: path, Digest: digest, Arch: arch}
	if err := files.Create(t.Context(), db, f); err != nil {
		t.Fatal(err)
	}
	return f.ID
}

// add makes a version that has the units beside those of the latest one. It returns nil if they are all there already.
func add(t testing.TB, db *models.DB, repo *Repo, ids ...uuid.UUID) *models.RepositoryVersion {
	t.Helper()
	v, err := tryVersion(t.Context(), db, repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(t.Context(), ids)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// members returns all content of a version.
func members(ctx context.Context, db *models.DB, v *models.RepositoryVersion) (map[uuid.UUID]bool, error) {
	set := map[uuid.UUID]bool{}
	for last := uuid.Nil; ; {
		page, err := v.ContentIDs(ctx, db, last, 7)
		if err != nil {
			return nil, err
		}
		for _, id := range page {
			set[id] = true
		}
		if len(page) < 7 {
			return set, nil
		}
		last = page[len(page)-1]
	}
}

// newFiles makes one unit with one file for each path, and returns units and files.
func newFiles(t testing.TB, db *models.DB, paths ...string) (ids, files []uuid.UUID) {
	t.Helper()
	units := make([]*models.ContentWithFiles, len(paths))
	for i, p := range paths {
		units[i] = &models.ContentWithFiles{
			Content: &File{Path: p, Digest: fmt.Sprint(serial.Add(1))}, Files: []models.ContentFile{{RelativePath: p}},
		}
	}
	if err := models.SaveContents(t.Context(), db, units); err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		ids, files = append(ids, u.Content.PulpID()), append(files, u.Files[0].ID)
	}
	return ids, files
}

// artifactOf returns the artifact of a content artifact, or nil if the bytes are not here.
func artifactOf(t testing.TB, db *models.DB, contentArtifactID uuid.UUID) *models.Artifact {
	t.Helper()
	a := new(models.Artifact)
	err := db.Bun().NewSelect().Model(a).Join("JOIN core_contentartifact AS ca ON ca.artifact_id = a.pulp_id").
		Where("ca.pulp_id = ?", contentArtifactID).Scan(t.Context())
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tryVersion is models.CreateVersion, but returns nil if nothing changed.
func tryVersion(ctx context.Context, db *models.DB, repo models.AnyRepository, opts *models.VersionOptions,
	fn func(v *models.NewVersion) error,
) (*models.RepositoryVersion, error) {
	v, changed, err := models.CreateVersion(ctx, db, repo, opts, fn)
	if !changed {
		return nil, err
	}
	return v, err
}
