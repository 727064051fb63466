package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver"
)

// The types of a small plugin, shaped like Pulp's file plugin.
type (
	Content struct {
		models.Content
		RelativePath string `json:"relative_path" pulp:"natural,repo" doc:"Path within the repository."`
		Digest       string `json:"-" pulp:"natural,len=64"`
	}
	Remote     struct{ models.Remote }
	Repository struct {
		models.Repository
		Autopublish bool    `json:"autopublish" rest:"default=false" doc:"Publish each new version."`
		Manifest    *string `json:"manifest" rest:"default=PULP_MANIFEST,max=100" doc:"Name of the manifest."`
	}
	Publication struct {
		models.Publication
		Manifest *string `json:"manifest" rest:"default=PULP_MANIFEST" doc:"Name of the manifest."`
	}
	Distribution struct{ models.Distribution }
	Guard        struct {
		models.ContentGuard
		Header string   `json:"header_name" rest:"required" doc:"Name of the header."`
		Words  []string `json:"words" doc:"What it may say."`
	}
	SyncArgs    = stages.SyncArgs[Remote, Repository]
	publishArgs struct {
		Version  uuid.UUID `json:"version"`
		Manifest string    `json:"manifest"`
	}
	renameInput struct {
		Name  string `json:"name" rest:"required" doc:"The new name."`
		Times int    `json:"times" rest:"min=1,default=1"`
	}
	renameOutput struct {
		Was string `json:"was"`
	}
)

var (
	files         = models.Define[Content]("file.file")
	remotes       = models.Define[Remote]("file.file")
	repositories  = models.Define[Repository]("file.file", models.Accepts(files), models.SyncsFrom(remotes))
	publications  = models.Define[Publication]("file.file")
	distributions = models.Define[Distribution]("file.file")
	guards        = models.Define[Guard]("file.header")
	syncTask      = tasking.Define[SyncArgs]("file.sync")
	publishTask   = tasking.Define[publishArgs]("file.publish")
)

func views() []rest.View {
	return []rest.View{
		rest.ViewSet[Content]{
			Type: files, Name: "files",
			Filters: rest.Filters{"relative_path": rest.NameFilter(), "sha256": rest.ExactFilter().On("digest")},
			Create: rest.SingleArtifact(func(_ context.Context, c *Content, f *rest.File) error {
				c.Digest = f.Artifact.SHA256
				return nil
			}),
		},
		rest.ViewSet[Remote]{Type: remotes, Name: "file"},
		rest.ViewSet[Repository]{Type: repositories, Name: "file", Actions: []rest.Action[Repository]{
			rest.Sync(syncTask),
			rest.Post("rename", func(ctx context.Context, r *rest.Request[Repository], in *renameInput) (*renameOutput, error) {
				was := r.Row.Name
				r.Row.Name = strings.Repeat(in.Name, in.Times)
				return &renameOutput{was}, repositories.Update(ctx, r.DB, r.Row, "name")
			}),
		}},
		rest.ViewSet[Publication]{Type: publications, Name: "file", Create: rest.Publish(publishTask,
			func(p *Publication) publishArgs { return publishArgs{p.RepositoryVersionID, *p.Manifest} })},
		rest.ViewSet[Distribution]{Type: distributions, Name: "file"},
		rest.ViewSet[Guard]{Type: guards, Name: "header"},
	}
}

const (
	admin    = "admin"
	password = "a password that is long"
)

// bundle is an API with everything behind it, and a client that is logged in.
type bundle struct {
	t      testing.TB
	db     *models.DB
	queue  *tasking.Queue
	store  *storage.Store
	api    *rest.API
	worker *worker.Worker
	synced []SyncArgs
}

// each runs fn with a bundle on an empty database of each kind.
func each(t *testing.T, fn func(t *testing.T, b *bundle)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, setup(t, url, nil))
	})
}

// setup returns a bundle on a new database; opts may be nil, its views and versions are set.
func setup(t testing.TB, url string, opts *rest.Options) *bundle {
	t.Helper()
	return setupOn(t, openDB(t, url), opts)
}

func setupOn(t testing.TB, db *models.DB, opts *rest.Options) *bundle {
	t.Helper()
	return setupViews(t, db, opts, views())
}

func setupViews(t testing.TB, db *models.DB, opts *rest.Options, list []rest.View) *bundle {
	t.Helper()
	b := &bundle{t: t, db: db}
	store, err := storage.Open(t.Context(), "mem://", nil)
	must(t, err)
	b.store = store
	t.Cleanup(func() { must(t, store.Close()) })
	b.queue, err = tasking.NewQueue(b.db, nil)
	must(t, err)
	t.Cleanup(func() { must(t, b.queue.Close()) })
	bindings := append(rest.Tasks(), syncTask.Bind(b.sync), publishTask.Bind(b.publish))
	b.worker, err = worker.New(b.queue, &worker.Options{Bindings: bindings, Store: store, WorkDir: t.TempDir()})
	must(t, err)
	if opts == nil {
		opts = &rest.Options{}
	}
	opts.Views = list
	opts.Versions = map[string]string{"core": "3.81.0", "file": "3.81.0"}
	opts.ContentOrigin = "http://content.example"
	if opts.Auth == nil {
		opts.Auth = everybodyIsAdmin{}
	}
	if opts.Hosts == nil {
		opts.Hosts = allHosts(t)
	}
	b.api, err = rest.New(b.db, b.queue, store, opts)
	must(t, err)
	return b
}

// everybodyIsAdmin saves the time that verifying a password takes.
type everybodyIsAdmin struct{}

func (everybodyIsAdmin) Authenticate(*http.Request) (*accounts.User, error) {
	return &accounts.User{ID: 1, Username: admin, IsActive: true, IsSuperuser: true}, nil
}

func openDB(t testing.TB, url string) *models.DB {
	t.Helper()
	return modelstest.Open(t, url, nil, models.PluginModels{Plugin: "file", Types: []models.AnyType{
		files, remotes, repositories, publications, distributions, guards,
	}})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) sync(_ context.Context, _ *tasking.Env, a SyncArgs) error {
	b.synced = append(b.synced, a)
	return nil
}

func (b *bundle) publish(ctx context.Context, env *tasking.Env, a publishArgs) error {
	p := &Publication{Manifest: &a.Manifest}
	p.RepositoryVersionID, p.PassThrough = a.Version, true
	return models.Publish(ctx, env.DB, env.Store, p, func(p *models.NewPublication) error {
		return p.Metadata(ctx, a.Manifest, strings.NewReader("nothing"))
	})
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// JSON returns the body as encoding/json reads it.
func (a *answer) JSON() any {
	a.t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("the answer %d is no JSON: %v: %s", a.status, err, a.body)
	}
	return v
}

func (a *answer) get(name string) any {
	a.t.Helper()
	m, ok := a.JSON().(map[string]any)
	if !ok {
		a.t.Fatalf("the answer is no object: %s", a.body)
	}
	return m[name]
}

func (a *answer) str(name string) string {
	a.t.Helper()
	s, ok := a.get(name).(string)
	if !ok {
		a.t.Fatalf("%s of the answer %d is no string: %s", name, a.status, a.body)
	}
	return s
}

// want fails unless the status is as expected.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status = %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// do sends a request as the administrator. A body that is a string goes as it is, others as JSON.
func (b *bundle) do(method, target string, body any, edit ...func(*http.Request)) *answer {
	b.t.Helper()
	var r io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(v)
	case io.Reader:
		r = v
	default:
		raw, err := json.Marshal(v)
		must(b.t, err)
		r = bytes.NewReader(raw)
	}
	if !strings.HasPrefix(target, "/") {
		target = "/pulp/api/v3/" + target
	}
	req := httptest.NewRequest(method, target, r)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.SetBasicAuth(admin, password)
	for _, e := range edit {
		e(req)
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, req)
	return &answer{b.t, w.Code, w.Result().Header, w.Body.Bytes()}
}

// task does a request that is answered with a task, executes it and returns what it says.
func (b *bundle) task(method, target string, body any, edit ...func(*http.Request)) *answer {
	b.t.Helper()
	href := b.do(method, target, body, edit...).want(http.StatusAccepted).str("task")
	must(b.t, b.worker.RunPending(b.t.Context()))
	return b.do("GET", href, nil).want(http.StatusOK)
}

// completed is task for a task that must not fail; it returns the last resource that was created.
func (b *bundle) completed(method, target string, body any, edit ...func(*http.Request)) string {
	b.t.Helper()
	a := b.task(method, target, body, edit...)
	if state := a.str("state"); state != "completed" {
		b.t.Fatalf("%s %s: the task is %s: %s", method, target, state, a.body)
	}
	list, _ := a.get("created_resources").([]any)
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprint(list[len(list)-1])
}

// create makes a resource at once and returns its href.
func (b *bundle) create(target string, body any) string {
	b.t.Helper()
	return b.do("POST", target, body).want(http.StatusCreated).str("pulp_href")
}

// repo returns the href of the bundle's one repository.
func (b *bundle) repo() string {
	b.t.Helper()
	if n := b.do("GET", "repositories/", nil).get("count"); n == 0.0 {
		return b.create("repositories/file/file/", map[string]any{"name": "the one"})
	}
	return hrefs(b.do("GET", "repositories/", nil))
}

// form returns a multipart body and the edit that sets its type. A value that begins with @ is sent as a file.
func form(t testing.TB, pairs ...string) (io.Reader, func(*http.Request)) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		var err error
		if text, ok := strings.CutPrefix(pairs[i+1], "@"); ok {
			var part io.Writer
			part, err = w.CreateFormFile(pairs[i], "x.bin")
			must(t, err)
			_, err = io.WriteString(part, text)
		} else {
			err = w.WriteField(pairs[i], pairs[i+1])
		}
		must(t, err)
	}
	must(t, w.Close())
	return &buf, func(r *http.Request) { r.Header.Set("Content-Type", w.FormDataContentType()) }
}

// unit uploads a content unit and returns its href.
func (b *bundle) unit(path, content string, more ...string) string {
	b.t.Helper()
	body, edit := form(b.t, append([]string{"relative_path", path, "file", "@" + content}, more...)...)
	return b.completed("POST", "content/file/files/", body, edit)
}

func allHosts(t testing.TB) *webserver.Hosts {
	t.Helper()
	hosts, err := webserver.AllowHosts("*")
	must(t, err)
	return hosts
}
