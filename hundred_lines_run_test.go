package pulpcore_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"os"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// manifestLine is what the hundred-line plugin leaves to a file of its own, as every plugin does.
type manifestLine struct {
	Line         int
	Path, SHA256 string
	Size         int64
}

func readManifest(path string) iter.Seq2[manifestLine, error] {
	return func(yield func(manifestLine, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(manifestLine{}, err)
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			e := manifestLine{Line: n}
			fields := strings.Split(lines.Text(), ",")
			if len(fields) == 3 {
				e.Path, e.SHA256 = fields[0], fields[1]
				_, err = fmt.Sscan(fields[2], &e.Size)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestHundredLines(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("hundred_lines_test.go")
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

func TestHundredLinePluginSyncs(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, NotePlugin())
	sum := sha256.Sum256([]byte("abc"))
	upstream := pulptest.Serve(t, "PULP_MANIFEST", fmt.Sprintf("a.txt,%s,3\n", hex.EncodeToString(sum[:])), "a.txt", "abc")
	remote := &NoteRemote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST"}}
	repo := &NoteRepository{Repository: models.Repository{Name: "notes"}}
	if err := NoteRemotes.Create(t.Context(), app.DB(), remote); err != nil {
		t.Fatal(err)
	}
	if err := Notebooks.Create(t.Context(), app.DB(), repo); err != nil {
		t.Fatal(err)
	}
	pulptest.RunTask(t, app, NoteSync, NoteSyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)})
	version, err := models.LatestVersion(t.Context(), app.DB(), repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	notes, err := Notes.List(t.Context(), app.DB(), models.InVersion(version))
	if err != nil {
		t.Fatal(err)
	}
	if version.Number != 1 || len(notes) != 1 || notes[0].RelativePath != "a.txt" {
		t.Errorf("version %d has %d notes, want version 1 with a.txt", version.Number, len(notes))
	}
}
