package file_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

func sum(body string) string {
	h := sha256.Sum256([]byte(body))
	return hex.EncodeToString(h[:])
}

// upstream serves files and a manifest of them, below /base/.
type upstream struct {
	*pulptest.Upstream
	mu       sync.Mutex
	files    map[string]string
	manifest string // replaces the true one
}

func serve(t *testing.T, files map[string]string) *upstream {
	t.Helper()
	u := &upstream{files: files}
	u.Upstream = pulptest.NewUpstream(t, http.StripPrefix("/base/", u))
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	body, ok := u.files[r.URL.Path]
	if r.URL.Path == "PULP_MANIFEST" {
		body, ok = u.list(), true
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, body)
}

func (u *upstream) list() string {
	if u.manifest != "" {
		return u.manifest
	}
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(u.files)) {
		e := file.Entry{Path: path, SHA256: sum(u.files[path]), Size: int64(len(u.files[path]))}
		if err := file.WriteEntry(&b, e); err != nil {
			return err.Error()
		}
	}
	return b.String()
}

// bench is an App with one repository.
type bench struct {
	t    *testing.T
	app  *pulptest.App
	repo *file.Repository
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		b := &bench{t: t, app: app, repo: &file.Repository{Repository: models.Repository{Name: "repo"}}}
		if err := file.Repositories.Create(t.Context(), app.DB(), b.repo); err != nil {
			t.Fatal(err)
		}
		fn(t, b)
	}, file.Plugin())
}

func (b *bench) remote(url string, policy models.Policy) *file.Remote {
	b.t.Helper()
	r := &file.Remote{Remote: models.Remote{Name: url + string(policy), URL: url, Policy: policy, MaxRetries: new(int)}}
	if err := file.Remotes.Create(b.t.Context(), b.app.DB(), r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) args(r *file.Remote) file.SyncArgs {
	return file.SyncArgs{Remote: models.RefOf(r), Repository: models.RefOf(b.repo), Mirror: true}
}

func (b *bench) latest() (*models.RepositoryVersion, map[string]string) {
	b.t.Helper()
	v, err := models.LatestVersion(b.t.Context(), b.app.DB(), b.repo.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[string]string{}
	for f, err := range v.Files(b.t.Context(), b.app.DB()) {
		if err != nil {
			b.t.Fatal(err)
		}
		got[f.RelativePath] = f.SHA256
	}
	return v, got
}

func odd() map[string]string {
	return map[string]string{
		"a.txt": "a", "with space": "b", "100%41.txt": "c", "what?": "d", "a#b": "e", "ü/中文": "f", "comma, and \"quotes\"": "g",
		"zero": "", "colon:x": "h", "twin": "a",
	}
}

func digests(files map[string]string) map[string]string {
	out := map[string]string{}
	for path, body := range files {
		out[path] = sum(body)
	}
	return out
}

// TestSyncAndPublish mirrors files with odd names and publishes them; the manifest that comes out is the one that went
// in.
func TestSyncAndPublish(t *testing.T) {
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				up := serve(t, odd())
				delete(up.files, "zero")
				pulptest.RunTask(t, b.app, file.Sync, b.args(b.remote(up.URL+"/base/PULP_MANIFEST?token=x%2Fy", policy)))
				version, got := b.latest()
				if diff := cmp.Diff(digests(up.files), got); diff != "" || version.Number != 1 {
					t.Errorf("version %d, files (-want +got):\n%s", version.Number, diff)
				}
				asked := up.Asked()
				for _, u := range asked {
					if u.RawQuery != "token=x%2Fy" {
						t.Errorf("%q was asked for with the query %q, want the remote's", u.Path, u.RawQuery)
					}
				}
				// The manifest, and one of the two files that are the same.
				if want := map[models.Policy]int{models.Immediate: len(up.files), models.OnDemand: 1}[policy]; len(asked) != want {
					t.Errorf("%d paths were asked for, want %d", len(asked), want)
				}
				// Its own manifest, and the remote's, which the mirror was published with.
				for _, manifest := range []string{b.publish(version), b.served("mirror", b.publications()[0])} {
					if diff := cmp.Diff(sortedLines(up.list()), sortedLines(manifest)); diff != "" {
						t.Errorf("published manifest (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

func sortedLines(text string) []string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return lines
}

// publish returns the manifest of a publication of the version.
func (b *bench) publish(v *models.RepositoryVersion) string {
	b.t.Helper()
	args := file.PublishArgs{
		RepositoryVersion: v.ID, Repository: models.PRNOf(b.repo),
		Publication: file.Publication{Manifest: new("PULP_MANIFEST")},
	}
	pulptest.RunTask(b.t, b.app, file.Publish, args)
	list := b.publications()
	return b.served("published", list[len(list)-1])
}

// publications returns all publications, the oldest first.
func (b *bench) publications() []*file.Publication {
	b.t.Helper()
	list, err := file.Publications.List(b.t.Context(), b.app.DB())
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// served returns the manifest of a publication as a client gets it.
func (b *bench) served(name string, pub *file.Publication) string {
	b.t.Helper()
	if pub.Manifest == nil || !pub.PassThrough || !pub.Complete {
		b.t.Fatalf("publication %+v", pub)
	}
	d := &file.Distribution{Distribution: models.Distribution{Name: name, BasePath: name}}
	d.PublicationID = &pub.ID
	if err := file.Distributions.Create(b.t.Context(), b.app.DB(), d); err != nil {
		b.t.Fatal(err)
	}
	status, body := b.app.Get(b.t, "/pulp/content/"+name+"/"+*pub.Manifest)
	if status != http.StatusOK {
		b.t.Fatalf("GET %s = %d %s", *pub.Manifest, status, body)
	}
	return body
}

func TestZeroBytes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"zero": ""})
		pulptest.RunTask(t, b.app, file.Sync, b.args(b.remote(up.URL+"/base/PULP_MANIFEST", models.Immediate)))
		if _, got := b.latest(); got["zero"] != sum("") {
			t.Errorf("files = %v", got)
		}
	})
}

// TestBadSource fails the task with words about the fault, and leaves the repository alone.
func TestBadSource(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		good := b.remote(up.URL+"/base/PULP_MANIFEST", models.Immediate)
		pulptest.RunTask(t, b.app, file.Sync, b.args(good))
		for _, row := range []struct {
			manifest string
			want     string
		}{
			{"b," + sum("b") + ",1\n<html>", up.URL + "/base/PULP_MANIFEST: manifest line 2: 1 fields instead of path,sha256,size"},
			{"../a," + sum("a") + ",3\n", `manifest line 1: "../a" is not a canonical relative path`},
			{"a," + sum("x") + ",3\n", "sha256 digest is " + sum("aaa")},
			{"a," + sum("aaa") + ",4\n", "size is 3 bytes, expected 4"},
			{"b," + sum("b") + ",1\n", "/base/b answered 404 Not Found"},
			{"c," + sum("aaa") + ",3\nc," + sum("") + ",0\n", "/base/c answered 404"},
		} {
			up.manifest = row.manifest
			if _, err := pulptest.TryTask(t, b.app, file.Sync, b.args(good)); err == nil ||
				!strings.Contains(err.Error(), row.want) {
				t.Errorf("sync of %q = %v, want %q", row.manifest, err, row.want)
			}
			if v, got := b.latest(); v.Number != 1 || got["a"] != sum("aaa") {
				t.Errorf("after %q: version %d, %v", row.manifest, v.Number, got)
			}
		}
		up.manifest = "x," + sum("1") + ",1\nx," + sum("2") + ",1\n"
		later := b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand)
		if _, err := pulptest.TryTask(t, b.app, file.Sync, b.args(later)); err == nil ||
			!strings.Contains(err.Error(), "relative_path") {
			t.Errorf("sync of two files of one path = %v", err)
		}
		gone := b.remote(up.URL+"/nowhere/PULP_MANIFEST", models.Immediate)
		if _, err := pulptest.TryTask(t, b.app, file.Sync, b.args(gone)); err == nil ||
			!strings.Contains(err.Error(), "/nowhere/PULP_MANIFEST answered 404") {
			t.Errorf("sync without a manifest = %v", err)
		}
		if v, _ := b.latest(); v.Number != 1 {
			t.Errorf("version %d", v.Number)
		}
	})
}

// TestProgressOfASync checks the steps that a client sees.
func TestProgressOfASync(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa", "b": "bb"})
		task := pulptest.RunTask(t, b.app, file.Sync, b.args(b.remote(up.URL+"/base/PULP_MANIFEST", models.Immediate)))
		reports, err := inspect.ProgressReports(t.Context(), b.app.Queue().DB(), task.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range reports {
			got[r.Code] = fmt.Sprint(r.Message, " ", r.Done, " ", r.State)
		}
		want := map[string]string{
			"sync.downloading.metadata":  "Downloading Metadata 1 completed",
			"sync.parsing.metadata":      "Parsing Metadata Lines 2 completed",
			"sync.downloading.artifacts": "Downloading Artifacts 2 completed",
			"associating.content":        "Associating Content 2 completed",
			"unassociating.content":      "Un-Associating Content 0 completed",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
	})
}
