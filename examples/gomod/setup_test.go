package gomod_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/pulpgo/pulpcore/examples/gomod"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// upstream is a GOPROXY with modules that the test makes.
type upstream struct {
	*pulptest.Upstream
	t testing.TB

	mu    sync.Mutex
	files map[string][]byte // by path below the base
	gone  bool              // every connection is cut
	wait  chan struct{}     // nil, or answers come when it is closed
	sumdb http.Handler
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{t: t, files: map[string][]byte{}}
	u.Upstream = pulptest.NewUpstream(t, u)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	body, ok := u.files[strings.TrimPrefix(r.URL.Path, "/")]
	gone, wait, sumdb := u.gone, u.wait, u.sumdb
	u.mu.Unlock()
	if wait != nil {
		<-wait
	}
	switch {
	case gone:
		panic(http.ErrAbortHandler)
	case sumdb != nil && strings.HasPrefix(r.URL.Path, "/sumdb/"):
		sumdb.ServeHTTP(w, r)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(body)
	}
}

// set replaces a file.
func (u *upstream) set(path string, body []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[path] = body
}

// leave cuts all connections from now on.
func (u *upstream) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = true
}

// file is a file of a module zip.
type file struct{ name, body string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return fileInfo{f}, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.body)), nil }

type fileInfo struct{ f file }

func (i fileInfo) Name() string       { return path.Base(i.f.name) }
func (i fileInfo) Size() int64        { return int64(len(i.f.body)) }
func (i fileInfo) Mode() os.FileMode  { return 0o644 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }

// zipOf returns the zip of a module version, with names and bodies of its files.
func zipOf(t testing.TB, path, version string, pairs ...string) []byte {
	t.Helper()
	var files []modzip.File
	for i := 0; i < len(pairs); i += 2 {
		files = append(files, file{pairs[i], pairs[i+1]})
	}
	var out bytes.Buffer
	if err := modzip.Create(&out, module.Version{Path: path, Version: version}, files); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func base(t testing.TB, path string) string {
	t.Helper()
	escaped, err := module.EscapePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return escaped + "/@v/"
}

// add makes a module version with a function Name, which returns text. Of +incompatible versions the zip has no go.mod.
func (u *upstream) add(path, version, text string, requires ...string) {
	u.t.Helper()
	mod := fmt.Sprintf("module %s\n", path)
	code := fmt.Sprintf("package m\n\nfunc Name() string { return %q }\n", text)
	pairs := []string{"m.go", code}
	if !strings.HasSuffix(version, "+incompatible") {
		for _, r := range requires {
			mod += "require " + strings.Replace(r, "@", " ", 1) + "\n"
		}
		mod += "go 1.21\n"
		pairs = append(pairs, "go.mod", mod)
	}
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		u.t.Fatal(err)
	}
	at := base(u.t, path)
	u.set(at+escaped+".mod", []byte(mod))
	u.set(at+escaped+".zip", zipOf(u.t, path, version, pairs...))
	const about = `{"Version":%q,"Time":"2024-01-02T03:04:05Z","Origin":{"VCS":"git"}}`
	u.set(at+escaped+".info", fmt.Appendf(nil, about, version))
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.files[at+"list"]
	if !module.IsPseudoVersion(version) {
		list = append(list, version+"\n"...)
	}
	u.files[at+"list"] = list
	u.files[strings.TrimSuffix(at, "v/")+"latest"] = u.files[at+escaped+".info"]
}

// tenModules adds ten modules with all kinds of paths and versions, and returns them as "path@version".
func (u *upstream) tenModules() []string {
	list := []string{
		"example.com/one@v1.0.0", "example.com/Two@v1.2.3", "example.com/three/v3@v3.1.0",
		"example.com/four@v4.0.0+incompatible",
		"example.com/five@v0.0.0-20240102030405-abcdefabcdef", "example.com/six/sub@v0.1.0-RC.1",
		"github.com/BurntSushi/seven@v1.0.0",
		"gopkg.in/eight.v2@v2.0.5", "example.com/nine_x.y~z@v1.0.0", "example.com/ten@v1.10.0",
	}
	for i, m := range list {
		path, version, _ := strings.Cut(m, "@")
		u.add(path, version, m, list[:i]...)
	}
	return list
}

// world is an App with a repository, a remote of an upstream, and a distribution at "go".
type world struct {
	*pulptest.App
	t          *testing.T
	repo       *gomod.Repository
	remote     *gomod.Remote
	repository string // href
}

// options of a world.
type setup struct {
	policy  models.Policy
	modules []string
	pull    bool // the distribution has the remote
}

const apiRoot = "/pulp/api/v3/"

func newWorld(t *testing.T, app *pulptest.App, u *upstream, o setup) *world {
	t.Helper()
	w := &world{App: app, t: t}
	res := app.Do(t, "POST", apiRoot+"repositories/gomod/gomod/", pulptest.JSON(map[string]any{"name": "go"})).Want(201)
	w.repository = res.Href()
	remote := ""
	if u != nil {
		remote = w.newRemote("up", u, o)
	}
	w.distribute("go", map[string]any{"repository": w.repository}, remote, o.pull)
	var err error
	if w.repo, err = gomod.Repositories.Get(t.Context(), app.DB(), refOf[gomod.Repository](t, res)); err != nil {
		t.Fatal(err)
	}
	return w
}

func refOf[T any](t *testing.T, res *pulptest.Response) models.Ref[T] {
	t.Helper()
	var row struct {
		PRN string `json:"prn"`
	}
	res.JSON(&row)
	prn, err := models.ParsePRN(row.PRN)
	if err != nil {
		t.Fatal(err)
	}
	return models.Ref[T]{ID: prn.ID}
}

func (w *world) newRemote(name string, u *upstream, o setup) string {
	w.t.Helper()
	policy := o.policy
	if policy == "" {
		policy = models.Immediate
	}
	res := w.Do(w.t, "POST", apiRoot+"remotes/gomod/gomod/", pulptest.JSON(map[string]any{
		"name": name, "url": u.URL, "policy": policy, "modules": append([]string{}, o.modules...), "max_retries": 0,
	})).Want(201)
	var err error
	if w.remote, err = gomod.Remotes.Get(w.t.Context(), w.DB(), refOf[gomod.Remote](w.t, res)); err != nil {
		w.t.Fatal(err)
	}
	return res.Href()
}

func (w *world) distribute(name string, fields map[string]any, remote string, pull bool) {
	w.t.Helper()
	fields["name"], fields["base_path"] = name, name
	if pull {
		fields["remote"] = remote
	}
	w.Await(w.t, w.Do(w.t, "POST", apiRoot+"distributions/gomod/gomod/", pulptest.JSON(fields)))
}

func (w *world) syncArgs() gomod.SyncArgs {
	return gomod.SyncArgs{Remote: models.RefOf(w.remote), Repository: models.RefOf(w.repo)}
}

// sync runs the sync of the remote.
func (w *world) sync() {
	w.t.Helper()
	pulptest.RunTask(w.t, w.App, gomod.Sync, w.syncArgs())
}

// get asks the distribution.
func (w *world) get(path string) *pulptest.Response {
	w.t.Helper()
	return w.Do(w.t, "GET", "/pulp/content/go/"+path, pulptest.AsNobody)
}

// members returns the module versions of the latest repository version.
func (w *world) members() []*gomod.Module {
	w.t.Helper()
	v, err := models.LatestVersion(w.t.Context(), w.DB(), w.repo.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := gomod.Modules.List(w.t.Context(), w.DB(), models.InVersion(v), models.OrderBy("path", "version"))
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// names returns the members as "path@version".
func (w *world) names() (list []string) {
	w.t.Helper()
	for _, m := range w.members() {
		list = append(list, m.Path+"@"+m.Version)
	}
	return list
}

// program is the folder of a Go program and the environment in which the go command finds modules.
type program struct {
	t     *testing.T
	dir   string
	cache string // GOMODCACHE
	env   []string
}

// newProgram makes a program that prints the texts of modules, given as "path@version", and has an empty module cache.
func newProgram(t *testing.T, proxy string, modules ...string) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir(), cache: t.TempDir()}
	mod, imports, calls := "module example.org/program\n\ngo 1.21\n\n", "", ""
	for i, m := range modules {
		path, version, _ := strings.Cut(m, "@")
		mod += fmt.Sprintf("require %s %s\n", path, version)
		imports += fmt.Sprintf("import m%d %q\n", i, path)
		calls += fmt.Sprintf("\tprintln(m%d.Name())\n", i)
	}
	p.write("go.mod", mod)
	p.write("main.go", "package main\n\n"+imports+"\nfunc main() {\n"+calls+"}\n")
	p.env = append(os.Environ(),
		"GOPROXY="+proxy, "GOMODCACHE="+p.cache, "GOPATH="+t.TempDir(), "GOFLAGS=-mod=mod -modcacherw",
		"GOTOOLCHAIN=local", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOPRIVATE=", "GONOPROXY=", "GOWORK=off", "GOSUMDB=off",
		"GOVCS=*:off")
	return p
}

func (p *program) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) read(name string) string {
	p.t.Helper()
	body, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

// emptyCache gives the program an empty module cache.
func (p *program) emptyCache() {
	p.cache = p.t.TempDir()
	p.env = append(p.env, "GOMODCACHE="+p.cache)
}

// try runs the go command and returns what it prints.
func (p *program) try(args ...string) (string, error) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "go", args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// goes runs the go command, which must succeed.
func (p *program) goes(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return out
}

// fails runs the go command, which must fail and print a text.
func (p *program) fails(want string, args ...string) {
	p.t.Helper()
	if out, err := p.try(args...); err == nil || !strings.Contains(out, want) {
		p.t.Errorf("go %v = %v, want a failure with %q:\n%s", args, err, want, out)
	}
}

// proxy is the GOPROXY of a world's distribution.
func (w *world) proxy() string { return w.URL() + "/pulp/content/go" }

// latest returns the version that @latest answers.
func (w *world) latest(path string) string {
	w.t.Helper()
	var in struct{ Version string }
	w.get(path + "/@latest").Want(200).JSON(&in)
	return in.Version
}

// rename returns a zip with files of any names, each with the go.mod of example.com/a.
func rename(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		f, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(f, "module example.com/a\n")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
