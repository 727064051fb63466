package lookup_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// The types of a small plugin. The remote has a column of its own, the distribution has none.
type (
	Note struct {
		models.Content
		Text string `json:"text" pulp:"natural"`
	}
	Repo   struct{ models.Repository }
	Remote struct {
		models.Remote
		Token secrets.EncryptedText `json:"token"`
	}
	Publication  struct{ models.Publication }
	Distribution struct{ models.Distribution }
)

var (
	notes         = models.Define[Note]("test.note")
	remotes       = models.Define[Remote]("test.test")
	repos         = models.Define[Repo]("test.test", models.Accepts(notes))
	publications  = models.Define[Publication]("test.test")
	distributions = models.Define[Distribution]("test.test")
)

// each runs fn with a handle on an empty, migrated database of each kind.
func each(t *testing.T, fn func(t *testing.T, db *models.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, modelstest.Open(t, url, nil, models.PluginModels{Plugin: "test", Types: []models.AnyType{
			notes, remotes, repos, publications, distributions,
		}}))
	})
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

// add makes a version that has the units beside those of the latest one.
func add(t testing.TB, db *models.DB, repo *Repo, ids ...uuid.UUID) *models.RepositoryVersion {
	t.Helper()
	v, _, err := models.CreateVersion(t.Context(), db, repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(t.Context(), ids)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newDistribution(name, basePath string) *Distribution {
	d := &Distribution{}
	d.Name, d.BasePath = name, basePath
	return d
}
