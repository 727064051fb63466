package pulpcore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// The plugin "alpha" in its first release and in the second.
type (
	alphaItem1 struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	alphaItem2 struct {
		models.Content
		Name   string `json:"name" pulp:"natural"`
		Colour string `json:"colour" pulp:"index"`
	}
	alphaRepository1   struct{ models.Repository }
	alphaRepository2   struct{ models.Repository }
	alphaDistribution2 struct{ models.Distribution }
)

// The plugin "beta", which only the new program has.
type (
	betaThing struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	betaRepository   struct{ models.Repository }
	betaRemote       struct{ models.Remote }
	betaPublication  struct{ models.Publication }
	betaDistribution struct{ models.Distribution }
	betaGuard        struct{ models.ContentGuard }
)

func (*betaGuard) Permit(context.Context, *content.Request) error { return nil }

var (
	alphaItems1        = models.Define[alphaItem1]("alpha.item")
	alphaRepositories1 = models.Define[alphaRepository1]("alpha.alpha", models.Accepts(alphaItems1))
	alphaItems2        = models.Define[alphaItem2]("alpha.item")
	alphaRepositories2 = models.Define[alphaRepository2]("alpha.alpha", models.Accepts(alphaItems2))
	alphaDistributions = models.Define[alphaDistribution2]("alpha.alpha")

	betaThings        = models.Define[betaThing]("beta.thing")
	betaRepositories  = models.Define[betaRepository]("beta.beta", models.Accepts(betaThings, alphaItems2))
	betaRemotes       = models.Define[betaRemote]("beta.beta")
	betaPublications  = models.Define[betaPublication]("beta.beta")
	betaDistributions = models.Define[betaDistribution]("beta.beta")
	betaGuards        = models.Define[betaGuard]("beta.guard")
	betaWork          = tasking.Define[struct{}]("beta.work")
)

// releases are the plugins that the programs of the test are made of.
type releases struct{ alpha1, alpha2, beta *pulpcore.Plugin }

// newReleases makes the plugins, with migrations as their author would have let them be written.
func newReleases(t *testing.T) *releases {
	t.Helper()
	r := &releases{
		alpha1: &pulpcore.Plugin{
			Name: "alpha", Version: "1.0.0", Models: []models.AnyType{alphaItems1, alphaRepositories1},
			Views: []rest.View{
				rest.ViewSet[alphaItem1]{Type: alphaItems1, Name: "items"},
				rest.ViewSet[alphaRepository1]{Type: alphaRepositories1, Name: "alpha"},
			},
		},
		alpha2: &pulpcore.Plugin{
			Name: "alpha", Version: "2.0.0", Models: []models.AnyType{alphaItems2, alphaRepositories2, alphaDistributions},
			Views: []rest.View{
				rest.ViewSet[alphaItem2]{Type: alphaItems2, Name: "items"},
				rest.ViewSet[alphaRepository2]{Type: alphaRepositories2, Name: "alpha"},
				rest.ViewSet[alphaDistribution2]{Type: alphaDistributions, Name: "alpha"},
			},
		},
		beta: &pulpcore.Plugin{
			Name: "beta", Version: "1.0.0", Models: []models.AnyType{
				betaThings, betaRepositories, betaRemotes, betaPublications, betaDistributions, betaGuards,
			},
			Tasks: []tasking.Binding{betaWork.Bind(func(context.Context, *tasking.Env, struct{}) error { return nil })},
			Views: []rest.View{
				rest.ViewSet[betaThing]{Type: betaThings, Name: "things"},
				rest.ViewSet[betaRepository]{Type: betaRepositories, Name: "beta"},
				rest.ViewSet[betaRemote]{Type: betaRemotes, Name: "beta"},
				rest.ViewSet[betaPublication]{Type: betaPublications, Name: "beta"},
				rest.ViewSet[betaDistribution]{Type: betaDistributions, Name: "beta"},
				rest.ViewSet[betaGuard]{Type: betaGuards, Name: "guard"},
			},
		},
	}
	dir := t.TempDir()
	write := func(p *pulpcore.Plugin, needs ...*pulpcore.Plugin) fs.FS {
		t.Helper()
		folder := filepath.Join(dir, p.Name)
		if _, err := pulpcore.WriteMigration(t.Context(), folder, p, nil, needs...); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, p.Name+p.Version) // the next release adds a file to the folder
		if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		return os.DirFS(copied)
	}
	r.alpha1.Migrations = write(r.alpha1)
	r.alpha2.Migrations = write(r.alpha2)
	r.beta.Migrations = write(r.beta, r.alpha2)
	return r
}

// installation is a database and a folder that programs with different plugins share.
type installation struct {
	t    *testing.T
	opts []settings.Option
}

func newInstallation(t *testing.T, url string) *installation {
	t.Helper()
	dir := t.TempDir()
	return &installation{t, []settings.Option{
		settings.Value("DEPLOY_ROOT", dir), settings.Value("DATABASE_URL", url),
		settings.Value("STORAGE_URL", "file://"+filepath.ToSlash(filepath.Join(dir, "media"))),
	}}
}

// program is a process with these plugins.
func (i *installation) program(plugins ...*pulpcore.Plugin) *pulptest.App {
	i.t.Helper()
	return pulptest.NewWith(i.t, i.opts, plugins...)
}

func (i *installation) migrate(plugins ...*pulpcore.Plugin) {
	i.t.Helper()
	set, err := quiet("unused", i.opts...)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := pulpcore.Migrate(i.t.Context(), set, plugins...); err != nil {
		i.t.Fatal(err)
	}
}

// open returns the error of opening the installation with other plugins.
func (i *installation) open(plugins ...*pulpcore.Plugin) error {
	i.t.Helper()
	set, err := quiet("unused", i.opts...)
	if err != nil {
		i.t.Fatal(err)
	}
	app, err := pulpcore.Open(i.t.Context(), set, plugins...)
	if err == nil {
		err = app.Close()
	}
	return err
}

// TestRollingUpgrade has a program of the old release run while the new one migrates, and starts it once more.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	r := newReleases(t)
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		i := newInstallation(t, url)
		older := i.program(r.alpha1)
		must := mustOf(t)
		must(alphaItems1.Create(t.Context(), older.DB(), &alphaItem1{Name: "before"}))

		// The author of the second release has forgotten its migration.
		stale := *r.alpha2
		stale.Migrations = r.alpha1.Migrations
		wantText(t, i.open(&stale), pulperr.Conflict, "alpha_item_content", `type "alpha.item" lacks the columns (colour)`,
			"let pulpcore.WriteMigration write the next one")

		err := i.open(r.alpha2, r.beta)
		wantText(t, err, pulperr.Conflict, "the database schema is older than this program", "0002_add_colour of alpha",
			"0001_initial of beta", "pulpcore.Migrate")
		i.migrate(r.alpha2, r.beta)

		// The processes of the old release go on until they are replaced.
		older.Do(t, "GET", "/pulp/api/v3/content/alpha/items/").Want(200)
		must(alphaItems1.Create(t.Context(), older.DB(), &alphaItem1{Name: "while both run"}))
		older.Do(t, "POST", "/pulp/api/v3/repositories/alpha/alpha/", pulptest.JSON(map[string]any{"name": "x"})).Want(201)

		newer := i.program(r.alpha2, r.beta)
		if n, err := alphaItems2.Count(t.Context(), newer.DB(), models.Eq("colour", "")); err != nil || n != 2 {
			t.Errorf("the new release finds %d units, %v, want 2", n, err)
		}
		newer.Do(t, "GET", "/pulp/api/v3/repositories/alpha/alpha/?name=x").Want(200)

		err = i.open(r.alpha1)
		wantText(t, err, pulperr.Conflict, "the database schema is newer than this program", "migration 0002_add_colour of alpha",
			"models.Rollback")
	})
}

func mustOf(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func wantText(t *testing.T, err error, kind pulperr.Kind, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error = %v, want kind %v", err, kind)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %v, want %q in it", err, part)
		}
	}
}
