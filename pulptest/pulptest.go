// Package pulptest is a whole App for a unit test: SQLite in the test's own folder, artifacts in memory, tasks that run
// when the test calls for them, and servers that play the upstream.
//
//	func TestSync(t *testing.T) {
//		app := pulptest.New(t, file.Plugin())
//		upstream := pulptest.Serve(t, "PULP_MANIFEST", manifest, "a.txt", "abc")
//		…
//		pulptest.RunTask(t, app, file.Sync, file.SyncArgs{Remote: …, Repository: …})
//	}
//
// [App.Do] sends requests as a client of the API does, [App.Await] follows the tasks that they start, and [Each] runs a
// test on SQLite and on Postgres.
//
// # Virtual time
//
// An App works in a bubble of [testing/synctest], with [App.Start], [App.Do], [App.Await] and [App.Settle]: what waits
// for a minute takes milliseconds there, in which the worker polls as often as it does in a minute. Make the App within
// the bubble. Time goes on only while every goroutine of the bubble waits for another one or for a timer, so in a
// bubble there is no place for sockets: [App.URL], [Serve], [NewUpstream], Postgres and Redis.
package pulptest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// App is an App that lives as long as its test.
type App struct {
	*pulpcore.App

	auth   *authenticator
	runner *runner

	mu     sync.Mutex
	inside *innerServer     // nil before the first request of Do
	server *httptest.Server // nil before the first call of URL
}

// New returns an App with the plugins, on a database of its own. No worker is running: [RunTask], [App.Await] and
// [App.RunPending] execute tasks, or [App.Start] starts a worker.
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
		// A test that ends while a task runs must not wait the ten minutes that a server has.
		settings.Value("TASK_GRACE_INTERVAL", "5s"),
	}, opts...)...)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	auth := newAuthenticator()
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{
		Log: log, Authenticator: auth,
		// In this process, because the test binary is no program that could execute one task.
		IgnoreSubprocess: true,
	}, plugins...)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	auth.bind(app.DB())
	a := &App{App: app, auth: auth}
	t.Cleanup(func() {
		a.closeServers()
		a.awaitStoring()
		if err := app.Close(); err != nil {
			t.Errorf("pulptest: %v", err)
		}
	})
	if a.runner, err = newRunner(app); err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	return a
}

// closeServers ends the servers before the App is closed, because requests in flight use it.
func (a *App) closeServers() {
	if a.inside != nil {
		a.inside.close()
	}
	if a.server != nil {
		a.server.Close()
	}
}

// awaitStoring waits a moment for files that clients have got and that are not stored yet, so that closing the App does
// not log an error for each. An upstream that does not answer does not hold up the test.
func (a *App) awaitStoring() {
	const most = 2 * time.Second
	// The context of the test is done when its cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	_ = a.WaitForFetches(ctx)
}

// RunPending executes every task that can run, one after the other, until none is left.
func (a *App) RunPending(ctx context.Context) error { return a.runner.runPending(ctx) }

// Start starts a worker in the background, as a server has one, with as many slots as the setting WORKERS says. It ends
// with the test t. [RunTask], [App.Await] and [App.Settle] then wait for it instead of executing tasks themselves.
func (a *App) Start(t testing.TB) {
	t.Helper()
	a.runner.start(t)
}

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
	done, err := app.runner.finish(t.Context(), ticket.TaskID)
	if err != nil {
		t.Fatalf("pulptest: run %s: %v", task.Name(), err)
	}
	return done, failureOf(done)
}

// NewUser makes an account without privileges that can log in with a password: see [As]. Its log-ins cost no hashing
// until the test changes the password by [accounts.SetPassword].
func (a *App) NewUser(t testing.TB, name, clear string) *accounts.User {
	t.Helper()
	u := &accounts.User{Username: name, IsActive: true}
	// An empty password is not hashed. The authenticator knows the real one.
	if err := accounts.Create(t.Context(), a.DB(), u, ""); err != nil {
		t.Fatalf("NewUser(%q) = %v", name, err)
	}
	a.auth.remember(name, clear)
	return u
}

// URL returns the address of a server for the App's API and content app, started at the first call. It is for clients
// of the test's own; [App.Do] needs no server.
func (a *App) URL() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		a.server = httptest.NewServer(a.Handler())
	}
	return a.server.URL
}

// inner returns the server of Do.
func (a *App) inner() *innerServer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inside == nil {
		a.inside = newInnerServer(a.Handler())
	}
	return a.inside
}

// Get returns status and body of a path of the App, asked for without an account. It follows redirects. For more, see
// [App.Do].
func (a *App) Get(t testing.TB, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil)
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	res := send(t, a.inner().follower, req)
	if res.Err != nil {
		t.Fatalf("pulptest: get %s: %v", path, res.Err)
	}
	return res.Status, res.Body
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
