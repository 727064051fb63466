// Package pulptest is a whole App for a unit test: SQLite in the test's own folder, artifacts in memory, tasks that run
// when the test calls for them, and servers that play the upstream.
//
//	func TestSync(t *testing.T) {
//		app := pulptest.New(t, file.Plugin())
//		upstream := pulptest.Serve(t, "PULP_MANIFEST", manifest, "a.txt", "abc")
//		…
//		pulptest.RunTask(t, app, file.Sync, file.SyncArgs{Remote: …, Repository: …})
//	}
package pulptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// App is an App that lives as long as its test.
type App struct {
	*pulpcore.App

	worker *worker.Worker

	mu     sync.Mutex
	server *httptest.Server
}

// New returns an App with the plugins, on a database of its own. It has no worker of its own: [RunTask] and
// [App.RunPending] execute tasks.
func New(t testing.TB, plugins ...*pulpcore.Plugin) *App {
	t.Helper()
	return NewWith(t, nil, plugins...)
}

// NewWith is [New] with settings that win over those of a test.
func NewWith(t testing.TB, opts []settings.Option, plugins ...*pulpcore.Plugin) *App {
	t.Helper()
	dir := t.TempDir()
	// A test's database need not survive a power cut.
	db := "sqlite:" + filepath.Join(dir, "pulp.db") + "?_pragma=synchronous(OFF)"
	set, err := settings.Load(append([]settings.Option{
		settings.Value("DEPLOY_ROOT", dir),
		settings.Value("DATABASE_URL", db),
		settings.Value("STORAGE_URL", "mem://"),
		// The last is that of httptest.NewRequest.
		settings.Value("ALLOWED_HOSTS", []string{".localhost", "127.0.0.1", "[::1]", "example.com"}),
	}, opts...)...)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	// In this process, because the test binary is no program that could execute one task.
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Log: log, IgnoreSubprocess: true}, plugins...)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	a := &App{App: app}
	t.Cleanup(func() {
		if a.server != nil {
			// Before the App, because requests in flight use it.
			a.server.Close()
		}
		if err := app.Close(); err != nil {
			t.Errorf("pulptest: %v", err)
		}
	})
	if a.worker, err = app.Worker(1); err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	return a
}

// RunPending executes every task that can run, one after the other, until none is left.
func (a *App) RunPending(ctx context.Context) error { return a.worker.RunPending(ctx) }

// RunTask dispatches a task, executes everything that is waiting, and returns the finished task. The test fails if the
// task does.
func RunTask[A any](t testing.TB, app *App, task *tasking.Task[A], args A) *models.Task {
	t.Helper()
	done, err := TryTask(t, app, task, args)
	if err != nil {
		t.Fatalf("RunTask(%s) = %v", task.Name(), err)
	}
	return done
}

// TryTask is [RunTask] for a task that may fail: its failure is the error, in the words that a client sees.
func TryTask[A any](t testing.TB, app *App, task *tasking.Task[A], args A) (*models.Task, error) {
	t.Helper()
	ticket, err := task.Dispatch(t.Context(), app.Queue(), args, nil)
	if err != nil {
		t.Fatalf("pulptest: dispatch %s: %v", task.Name(), err)
	}
	if err := app.RunPending(t.Context()); err != nil {
		t.Fatalf("pulptest: run tasks: %v", err)
	}
	done, err := app.Queue().Get(t.Context(), ticket.TaskID)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	switch {
	case done.State == models.Completed:
		return done, nil
	case done.Error != nil:
		return done, errors.New(done.Error.Description + done.Error.Reason)
	}
	return done, fmt.Errorf("the task is %s", done.State)
}

// URL returns the address of a server for the App's API and content app, started at the first call.
func (a *App) URL() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		a.server = httptest.NewServer(a.Handler())
	}
	return a.server.URL
}

// Get returns status and body of a path of the App's server.
func (a *App) Get(t testing.TB, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+path, nil)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("pulptest: get %s: %v", path, err)
	}
	return res.StatusCode, string(raw)
}

// Serve starts a server that plays the upstream, with files given as pairs of path and content, and returns its
// address without a slash at the end.
func Serve(t testing.TB, pathsAndContents ...string) string {
	t.Helper()
	if len(pathsAndContents)%2 != 0 {
		t.Fatal("pulptest: Serve takes pairs of path and content")
	}
	files := map[string]string{}
	for i := 0; i < len(pathsAndContents); i += 2 {
		files["/"+pathsAndContents[i]] = pathsAndContents[i+1]
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// Collect runs a stage without input, such as a plugin's first stage, and returns what it put. Units are resolved
// at once, unsaved.
func Collect(t testing.TB, stage stages.Stage) []*stages.DeclarativeContent {
	t.Helper()
	var got []*stages.DeclarativeContent
	last := stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
		for dc, err := range in.Items(ctx) {
			if err != nil {
				return err
			}
			got = append(got, dc)
		}
		return nil
	})
	if err := stages.Run(t.Context(), 0, stage, stages.ResolveContentFutures{}, last); err != nil {
		t.Fatalf("pulptest: Collect = %v", err)
	}
	return got
}

// testWriter logs to the test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	// Log ends the line itself.
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
