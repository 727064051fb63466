package stages_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A small plugin: a File is one file and takes its path in a repository version, a Pack is any number of files.
type (
	File struct {
		models.Content
		Path   string `json:"relative_path" pulp:"natural,repo"`
		Digest string `json:"digest" pulp:"natural"`
		Note   string `json:"note"`
	}
	Pack struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	Remote struct{ models.Remote }
	Repo   struct{ models.Repository }
)

var (
	files   = models.Define[File]("test.file")
	packs   = models.Define[Pack]("test.pack")
	remotes = models.Define[Remote]("test.test")
	repos   = models.Define[Repo]("test.test", models.Accepts(files, packs, pairs), models.SyncsFrom(remotes))
)

type jobArgs struct {
	Job   string   `json:"job"`
	Names []string `json:"names"`
}

// Resources reserves what a real sync would.
func (a jobArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Names...)}
}

var job = tasking.Define[jobArgs]("test.job")

// bench is a whole installation: a database, a store in memory, and a task that does what the test says.
type bench struct {
	t     testing.TB
	db    *models.DB
	store *storage.Store
	queue *tasking.Queue
	pool  *download.Pool

	mu   sync.Mutex
	jobs map[string]func(ctx context.Context, env *tasking.Env) error
	next int
}

func setup(t testing.TB, url string, opts ...func(*models.DBOptions, *storage.Options)) *bench {
	t.Helper()
	dbOpts, storeOpts := &models.DBOptions{Log: testLog(t)}, &storage.Options{}
	for _, o := range opts {
		o(dbOpts, storeOpts)
	}
	db := modelstest.Open(t, url, dbOpts, models.PluginModels{
		Plugin: "test", Types: []models.AnyType{files, packs, pairs, remotes, repos},
	})
	store, err := storage.Open(t.Context(), "mem://", storeOpts)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	queue, err := tasking.NewQueue(db, &tasking.QueueOptions{Prefix: uuid.NewString(), Log: testLog(t)})
	must(t, err)
	t.Cleanup(func() { must(t, queue.Close()) })
	pool := download.NewPool(0)
	t.Cleanup(func() { must(t, pool.Close()) })
	return &bench{
		t: t, db: db, store: store, queue: queue, pool: pool,
		jobs: map[string]func(context.Context, *tasking.Env) error{},
	}
}

// each runs fn with an installation on an empty database of each kind.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, setup(t, url))
	})
}

func (b *bench) worker() *worker.Worker {
	b.t.Helper()
	w, err := worker.New(b.queue, &worker.Options{
		Bindings: []tasking.Binding{job.Bind(b.work)}, Store: b.store, Downloads: b.pool, WorkDir: b.t.TempDir(),
		Discard: models.DiscardIncomplete,
	})
	must(b.t, err)
	return w
}

func (b *bench) work(ctx context.Context, env *tasking.Env, a jobArgs) error {
	b.mu.Lock()
	fn := b.jobs[a.Job]
	b.mu.Unlock()
	return fn(ctx, env)
}

// dispatch stores a task that does fn and reserves what is named.
func (b *bench) dispatch(fn func(ctx context.Context, env *tasking.Env) error, names ...string) uuid.UUID {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	name := fmt.Sprint("job ", b.next)
	b.jobs[name] = fn
	b.mu.Unlock()
	ticket, err := job.Dispatch(b.t.Context(), b.queue, jobArgs{Job: name, Names: names}, nil)
	must(b.t, err)
	return ticket.TaskID
}

// do runs fn as a task and returns how it ended, and the error as it was.
func (b *bench) do(fn func(ctx context.Context, env *tasking.Env) error) (*models.Task, error) {
	b.t.Helper()
	var failure error
	id := b.dispatch(func(ctx context.Context, env *tasking.Env) error {
		failure = fn(ctx, env)
		return failure
	})
	must(b.t, b.worker().RunPending(b.t.Context()))
	task, err := b.queue.Get(b.t.Context(), id)
	must(b.t, err)
	return task, failure
}

// sync runs a sync as a task of its own. It fails the test unless that completes.
func (b *bench) sync(v stages.DeclarativeVersion) *models.RepositoryVersion {
	b.t.Helper()
	made, task, err := b.trySync(v)
	if err != nil || task.State != models.Completed {
		b.t.Fatalf("sync: task is %s, error %v", task.State, err)
	}
	return made
}

// trySync returns nil if no version was made.
func (b *bench) trySync(v stages.DeclarativeVersion) (*models.RepositoryVersion, *models.Task, error) {
	b.t.Helper()
	var made *models.RepositoryVersion
	task, err := b.do(func(ctx context.Context, env *tasking.Env) error {
		version, changed, err := v.Create(ctx, env)
		if changed {
			made = version
		}
		return err
	})
	return made, task, err
}

func (b *bench) repo(name string) *Repo {
	b.t.Helper()
	r := &Repo{}
	r.Name = name
	must(b.t, repos.Create(b.t.Context(), b.db, r))
	return r
}

// remote makes a remote that gives up at the first failure.
func (b *bench) remote(name, url string, policy models.Policy) *Remote {
	b.t.Helper()
	r := &Remote{}
	r.Name, r.URL, r.Policy, r.MaxRetries = name, url, policy, new(int)
	must(b.t, remotes.Create(b.t.Context(), b.db, r))
	return r
}

// count returns how many rows a table has.
func (b *bench) count(table string) int {
	b.t.Helper()
	n, err := b.db.Bun().NewSelect().TableExpr(table).Count(b.t.Context())
	must(b.t, err)
	return int(n)
}

// paths returns path → digest of all files of a version.
func (b *bench) paths(v *models.RepositoryVersion) map[string]string {
	b.t.Helper()
	got := map[string]string{}
	for f, err := range v.Files(b.t.Context(), b.db) {
		must(b.t, err)
		got[f.RelativePath] = f.SHA256
	}
	return got
}

func (b *bench) latest(repo *Repo) *models.RepositoryVersion {
	b.t.Helper()
	v, err := models.LatestVersion(b.t.Context(), b.db, repo.ID)
	must(b.t, err)
	return v
}

// sound fails the test if a row points to bytes that are not in the store, or if a version is incomplete.
func (b *bench) sound() {
	b.t.Helper()
	var rows []*models.Artifact
	must(b.t, b.db.Bun().NewSelect().Model(&rows).Scan(b.t.Context()))
	for _, a := range rows {
		r, err := b.store.Open(b.t.Context(), a.Key())
		if err != nil {
			b.t.Errorf("artifact %s: %v", a.SHA256, err)
			continue
		}
		w := hashlib.Default().Writer()
		_, err = io.Copy(w, r)
		if err != nil || w.Digests().SHA256 != a.SHA256 || w.Size() != a.Size {
			b.t.Errorf("artifact %s of %d bytes: %s, %d, %v", a.SHA256, a.Size, w.Digests().SHA256, w.Size(), err)
		}
		must(b.t, r.Close())
	}
	for table, cond := range map[string]string{
		"core_repositoryversion": "NOT complete", "core_createdresource": "incomplete", "core_versionseen": "TRUE",
		"core_progressreport": "state IN ('running', 'waiting')",
	} {
		n, err := b.db.Bun().NewSelect().TableExpr(table).Where(cond).Count(b.t.Context())
		must(b.t, err)
		if n != 0 {
			b.t.Errorf("%s has %d rows that are %s", table, n, cond)
		}
	}
}

// upstream is a server of files by path. It may misbehave.
type upstream struct {
	*httptest.Server

	mu    sync.Mutex
	files map[string]string
	hits  map[string]int
	fault map[string]http.HandlerFunc // by path
}

func serve(t testing.TB, files map[string]string) *upstream {
	u := &upstream{files: maps.Clone(files), hits: map[string]int{}, fault: map[string]http.HandlerFunc{}}
	if u.files == nil {
		u.files = map[string]string{}
	}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	u.mu.Lock()
	u.hits[path]++
	body, ok := u.files[path]
	fault := u.fault[path]
	u.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write([]byte(body))
	}
}

func (u *upstream) breaks(path string, fault http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault[path] = fault
}

func (u *upstream) requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, k := range u.hits {
		n += k
	}
	return n
}

// unit declares one file as the plugin of a sync would.
func (u *upstream) unit(remote *Remote, path string) *stages.DeclarativeContent {
	u.mu.Lock()
	defer u.mu.Unlock()
	return declare(remote, u.URL, path, u.files[path])
}

// all is a first stage that declares all files of the server, in path order.
func (u *upstream) all(remote *Remote) stages.Func {
	return func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		u.mu.Lock()
		names := slices.Sorted(maps.Keys(u.files))
		u.mu.Unlock()
		for _, path := range names {
			if err := out.Put(ctx, u.unit(remote, path)); err != nil {
				return err
			}
		}
		return nil
	}
}

func declare(remote *Remote, base, path, body string) *stages.DeclarativeContent {
	return &stages.DeclarativeContent{
		Content:   &File{Path: path, Digest: sum(body)},
		Artifacts: []*stages.DeclarativeArtifact{artifact(remote, base, path, body)},
	}
}

func artifact(remote *Remote, base, path, body string) *stages.DeclarativeArtifact {
	return &stages.DeclarativeArtifact{
		Artifact:     &models.Artifact{Size: int64(len(body)), Digests: hashlib.SHA256Hex(sum(body))},
		URLs:         []string{base + (&url.URL{Path: "/" + path}).EscapedPath()},
		RelativePath: path,
		Remote:       remote,
		Deferred:     remote.Policy != models.Immediate,
	}
}

// put is a first stage that declares the units given.
func put(units ...*stages.DeclarativeContent) stages.Func {
	return func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		for _, dc := range units {
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
		}
		return nil
	}
}

func sum(body string) string {
	h := sha256.Sum256([]byte(body))
	return hex.EncodeToString(h[:])
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

var errTest = errors.New("the test's own error")
