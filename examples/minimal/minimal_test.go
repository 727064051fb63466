package minimal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/examples/minimal"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

func TestHundredLines(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("minimal.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(src), "\n)\n") // behind the imports
	lines := 0
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > 100 {
		t.Errorf("the plugin has %d lines of code, want at most 100", lines)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, minimal.Plugin())
	sum := sha256.Sum256([]byte("abc"))
	upstream := pulptest.Serve(t, "PULP_MANIFEST", fmt.Sprintf("a.txt,%s,3\n", hex.EncodeToString(sum[:])), "a.txt", "abc")
	remote := &minimal.Remote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST"}}
	repo := &minimal.Repository{Repository: models.Repository{Name: "notes"}}
	if err := minimal.Remotes.Create(t.Context(), app.DB(), remote); err != nil {
		t.Fatal(err)
	}
	if err := minimal.Repositories.Create(t.Context(), app.DB(), repo); err != nil {
		t.Fatal(err)
	}
	pulptest.RunTask(t, app, minimal.Sync, minimal.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)})
	version, err := models.LatestVersion(t.Context(), app.DB(), repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	notes, err := minimal.Contents.List(t.Context(), app.DB(), models.InVersion(version))
	if err != nil {
		t.Fatal(err)
	}
	if version.Number != 1 || len(notes) != 1 || notes[0].RelativePath != "a.txt" {
		t.Errorf("version %d has %d notes, want version 1 with a.txt", version.Number, len(notes))
	}
}

func TestSyncRefusesMalformedManifests(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0", 64)
	for manifest, want := range map[string]string{
		"a.txt\n":                   `manifest line 1: "a.txt" is not "path,sha256,size"`,
		"a.txt," + sum + ",three\n": `manifest line 1: the size "three" is not a number`,
		"../a.txt," + sum + ",3\n":  `manifest line 1: "../a.txt" is not a relative path`,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			app := pulptest.New(t, minimal.Plugin())
			upstream := pulptest.Serve(t, "PULP_MANIFEST", manifest)
			remote := &minimal.Remote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST"}}
			repo := &minimal.Repository{Repository: models.Repository{Name: "notes"}}
			if err := minimal.Remotes.Create(t.Context(), app.DB(), remote); err != nil {
				t.Fatal(err)
			}
			if err := minimal.Repositories.Create(t.Context(), app.DB(), repo); err != nil {
				t.Fatal(err)
			}
			args := minimal.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)}
			task, err := pulptest.TryTask(t, app, minimal.Sync, args)
			if err == nil || task.State != models.Failed || !strings.Contains(err.Error(), want) {
				t.Errorf("TryTask = %s, %v, want a failed task with %q", task.State, err, want)
			}
		})
	}
}
