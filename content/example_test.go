package content_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

// Example puts one file in a repository and serves the repository.
func Example() {
	ctx := context.Background()
	db, store, done := openExample(ctx)
	defer done()

	artifact, err := models.NewArtifact(ctx, db, store, strings.NewReader("Hello.\n"), nil)
	if err != nil {
		log.Fatal(err)
	}
	unit := &models.ContentWithFiles{
		Content: &File{Path: "docs/hello.txt", Digest: artifact.SHA256},
		Files:   []models.ContentFile{{RelativePath: "docs/hello.txt", ArtifactID: &artifact.ID}},
	}
	if err := models.SaveContents(ctx, db, []*models.ContentWithFiles{unit}); err != nil {
		log.Fatal(err)
	}
	repo := &Repo{Repository: models.Repository{Name: "greetings"}}
	if err := repos.Create(ctx, db, repo); err != nil {
		log.Fatal(err)
	}
	_, _, err = models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, []uuid.UUID{unit.Content.PulpID()})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	distribution := &Distribution{models.Distribution{Name: "hi", BasePath: "public/hi", RepositoryID: &repo.ID}}
	if err := distributions.Create(ctx, db, distribution); err != nil {
		log.Fatal(err)
	}

	downloads := download.NewPool(0)
	defer downloads.Close()
	app, err := content.New(db, store, downloads, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	for _, path := range []string{"/pulp/content/public/hi/docs/hello.txt", "/pulp/content/public/hi/docs"} {
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		body, _ := io.ReadAll(rec.Body)
		fmt.Printf("%d %s%s\n", rec.Code, rec.Header().Get("Location"), strings.TrimSpace(string(body)))
	}
	// Output:
	// 200 Hello.
	// 301 /pulp/content/public/hi/docs/301: Moved Permanently
}

func openExample(ctx context.Context) (*models.DB, *storage.Store, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	registry, err := models.NewRegistry(models.PluginModels{Plugin: "test", Types: []models.AnyType{files, parcels, repos, distributions}})
	if err != nil {
		log.Fatal(err)
	}
	db, err := models.OpenDB(ctx, "sqlite:"+filepath.Join(dir, "pulp.db"), &models.DBOptions{Registry: registry})
	if err != nil {
		log.Fatal(err)
	}
	if err := models.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	domain, err := db.InDomain(ctx, models.DefaultDomain)
	if err != nil {
		log.Fatal(err)
	}
	store, err := storage.Open(ctx, filepath.Join(dir, "media"), nil)
	if err != nil {
		log.Fatal(err)
	}
	return domain, store, func() {
		_ = store.Close()
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}
