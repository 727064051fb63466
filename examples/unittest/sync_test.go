package unittest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// setup returns an App with a remote and a repository, and the arguments to sync them.
func setup(t *testing.T, upstreamFiles ...string) (*pulptest.App, file.SyncArgs) {
	t.Helper()
	app := pulptest.New(t, file.Plugin())
	upstream := pulptest.Serve(t, upstreamFiles...)
	remote := &file.Remote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST"}}
	if err := file.Remotes.Create(t.Context(), app.DB(), remote); err != nil {
		t.Fatal(err)
	}
	repo := &file.Repository{Repository: models.Repository{Name: "repo"}}
	if err := file.Repositories.Create(t.Context(), app.DB(), repo); err != nil {
		t.Fatal(err)
	}
	return app, file.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)}
}

func TestSyncMakesAVersion(t *testing.T) {
	t.Parallel()
	app, args := setup(t, "PULP_MANIFEST", fmt.Sprintf("a b.txt,%s,3\n", digest("abc")), "a b.txt", "abc")

	task := pulptest.RunTask(t, app, file.Sync, args)

	created, err := inspect.CreatedResources(t.Context(), app.Queue().DB(), task.ID)
	if err != nil || len(created) != 1 {
		t.Fatalf("CreatedResources = %v, %v, want one", created, err)
	}
	files, err := file.Files.List(t.Context(), app.DB())
	if err != nil || len(files) != 1 || files[0].RelativePath != "a b.txt" {
		t.Errorf("List = %v, %v, want a b.txt", files, err)
	}
}

func TestAWrongDigestFailsTheTaskAndChangesNothing(t *testing.T) {
	t.Parallel()
	app, args := setup(t, "PULP_MANIFEST", fmt.Sprintf("a.txt,%s,3\n", digest("xyz")), "a.txt", "abc")

	_, err := pulptest.TryTask(t, app, file.Sync, args)

	if err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("TryTask = %v, want one about sha256", err)
	}
	latest, err := models.LatestVersion(t.Context(), app.DB(), args.Repository.ID)
	if err != nil || latest.Number != 0 {
		t.Errorf("LatestVersion = %v, %v, want version 0", latest, err)
	}
}
