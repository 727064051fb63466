package python_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// zipped returns a zip archive of files, given as pairs of name and content.
func zipped(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		must(t, err)
		_, err = w.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, z.Close())
	return b.String()
}

// tarred returns a compressed tar archive of files, given as pairs of name and content.
func tarred(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for i := 0; i < len(files); i += 2 {
		must(t, w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := w.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	must(t, g.Close())
	return b.String()
}

func metadata(name, version string) string {
	return fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\nRequires-Python: >=3.8\n\nText: of no field\n", name, version)
}

// wheel returns a wheel that pip can install, and the name of its file.
func wheel(t testing.TB, name, version string) (filename, body string) {
	t.Helper()
	module := strings.ReplaceAll(python.Normalize(name), "-", "_")
	info := module + "-" + version + ".dist-info/"
	return module + "-" + version + "-py3-none-any.whl", zipped(t,
		module+".py", "VERSION = \""+version+"\"\n",
		info+"METADATA", metadata(name, version),
		info+"WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info+"RECORD", module+".py,,\n"+info+"METADATA,,\n"+info+"WHEEL,,\n"+info+"RECORD,,\n",
	)
}

// sdist returns an sdist, and the name of its file.
func sdist(t testing.TB, name, version string) (filename, body string) {
	t.Helper()
	stem := strings.ReplaceAll(python.Normalize(name), "-", "_") + "-" + version
	return stem + ".tar.gz", tarred(t, stem+"/setup.cfg", "", stem+"/PKG-INFO", metadata(name, version))
}

// index is an upstream: an index of files by name, as JSON or as HTML.
type index struct {
	*pulptest.Upstream
	html bool

	mu     sync.Mutex
	files  map[string]string // their bodies
	yanked map[string]bool
	page   string // of every project, in place of the true one
	closed bool   // each connection is cut
}

// serve starts an index with the wheels tiny-alpha 1.0 and 1.1 and the sdist tiny-beta 0.1.
func serve(t testing.TB, asHTML bool) *index {
	t.Helper()
	x := &index{html: asHTML, files: map[string]string{}, yanked: map[string]bool{}}
	for _, version := range []string{"1.0", "1.1"} {
		name, body := wheel(t, "Tiny-Alpha", version)
		x.files[name] = body
	}
	name, body := sdist(t, "tiny_beta", "0.1")
	x.files[name] = body
	x.Upstream = pulptest.NewUpstream(t, x)
	return x
}

// change changes the index while it is served.
func (x *index) change(fn func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	fn()
}

// close cuts each connection from now on, as if the server were gone.
func (x *index) close() { x.change(func() { x.closed = true }) }

// downloads returns how many files were asked for.
func (x *index) downloads() (n int) {
	for _, u := range x.Asked() {
		if strings.HasPrefix(u.Path, "/files/") {
			n++
		}
	}
	return n
}

func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		panic(http.ErrAbortHandler)
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok && x.files[name] != "" {
		fmt.Fprint(w, x.files[name])
		return
	}
	project := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
	list := []map[string]any{}
	page := "<!DOCTYPE html><html><body>"
	for _, name := range slices.Sorted(maps.Keys(x.files)) {
		if p, _, _ := python.ParseFilename(name); p != project {
			continue
		}
		entry := map[string]any{
			"filename": name, "url": "../../files/" + name, "requires-python": ">=3.8", "size": len(x.files[name]),
			"hashes": map[string]string{"sha256": sum(x.files[name]), "md5": "not allowed here", "blake2b": "unknown"},
		}
		yanked := ""
		if x.yanked[name] {
			entry["yanked"], yanked = "it was broken", `data-yanked=""`
		}
		list = append(list, entry)
		page += fmt.Sprintf("\n<a href=\"../../files/%s#sha256=%s\" data-requires-python=\"%s\" %s>%s</a><br>",
			name, sum(x.files[name]), html.EscapeString(">=3.8"), yanked, name)
	}
	switch {
	case !x.html && !strings.HasPrefix(r.Header.Get("Accept"), acceptJSON+","):
		w.WriteHeader(http.StatusNotAcceptable) // the sync prefers JSON
	case len(list) == 0 && x.page == "":
		http.NotFound(w, r)
	case x.html:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, x.page+page)
	case x.page != "":
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		fmt.Fprint(w, x.page)
	default:
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "files": list})
	}
}

// bench is an App with a repository "main", which is served below "main".
type bench struct {
	t    testing.TB
	app  *pulptest.App
	repo *python.Repository
	dist *python.Distribution
}

func setup(t testing.TB, app *pulptest.App) *bench {
	t.Helper()
	b := &bench{t: t, app: app, repo: &python.Repository{Repository: models.Repository{Name: "main"}}}
	must(t, python.Repositories.Create(t.Context(), app.DB(), b.repo))
	b.dist = &python.Distribution{Distribution: models.Distribution{
		Name: "main", BasePath: "main", RepositoryID: &b.repo.ID,
	}}
	must(t, python.Distributions.Create(t.Context(), app.DB(), b.dist))
	return b
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		fn(t, setup(t, app))
	}, python.Plugin())
}

// remote makes a remote of an index.
func (b *bench) remote(x *index, policy models.Policy, projects ...string) *python.Remote {
	b.t.Helper()
	if projects == nil {
		projects = []string{"Tiny.Alpha", "tiny_beta"}
	}
	r := &python.Remote{Projects: projects, Remote: models.Remote{
		Name: models.NewID().String(), URL: x.URL + "/simple/", Policy: policy, MaxRetries: new(int),
	}}
	must(b.t, python.Remotes.Create(b.t.Context(), b.app.DB(), r))
	return r
}

func (b *bench) args(r *python.Remote, mirror bool) python.SyncArgs {
	return python.SyncArgs{Remote: models.RefOf(r), Repository: models.RefOf(b.repo), Mirror: mirror}
}

// sync syncs the repository.
func (b *bench) sync(r *python.Remote, mirror bool) {
	b.t.Helper()
	pulptest.RunTask(b.t, b.app, python.Sync, b.args(r, mirror))
}

// names returns the names of the files in the latest version, sorted.
func (b *bench) names() []string {
	b.t.Helper()
	version, err := models.LatestVersion(b.t.Context(), b.app.DB(), b.repo.ID)
	must(b.t, err)
	names := []string{}
	for p, err := range python.Packages.All(b.t.Context(), b.app.DB(), models.InVersion(version)) {
		must(b.t, err)
		names = append(names, p.Filename)
	}
	slices.Sort(names)
	return names
}

const acceptJSON = "application/vnd.pypi.simple.v1+json"

// get asks the content app for a path of the distribution.
func (b *bench) get(path, accept string) *pulptest.Response {
	b.t.Helper()
	return b.app.Do(b.t, "GET", "/pulp/content/main/"+path, pulptest.AsNobody, pulptest.Header("Accept", accept))
}
