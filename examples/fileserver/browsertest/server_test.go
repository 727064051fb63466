package browsertest

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/examples/fileserver/taskpage"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

const password = "a password that is long"

// stepArgs are those of a task that reports what the test tells it to.
type stepArgs struct {
	Name      string
	Total     int64
	Exclusive []string
	Shared    []string
}

func (a stepArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Exclusive...), Shared: tasking.Named(a.Shared...)}
}

var (
	syncing    = tasking.Define[stepArgs]("file.sync")
	publishing = tasking.Define[stepArgs]("file.publish")
	importing  = tasking.Define[stepArgs]("file.import")
)

// server is an App with workers that serves the page, as the reference host does.
type server struct {
	t    *testing.T
	app  *pulpcore.App
	base string
	dir  string

	posts atomic.Int32 // that the API was sent

	steps map[string]chan int64 // by name: what is done
}

// serve starts a server on SQLite with everything embedded, or on the given database and Redis.
func serve(t *testing.T, opts ...settings.Option) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), steps: map[string]chan int64{}}
	for _, name := range []string{"sync", "second sync", "import"} {
		s.steps[name] = make(chan int64)
	}
	set, err := settings.Load(append([]settings.Option{
		settings.Value("DEPLOY_ROOT", s.dir), settings.Value("WORKERS", 3),
		settings.Value("LOGGING", map[string]any{"root": map[string]any{"level": "CRITICAL"}}),
	}, opts...)...)
	must(t, err)
	plugin := file.Plugin()
	plugin.Tasks = []tasking.Binding{syncing.Bind(s.step), publishing.Bind(s.step), importing.Bind(s.step)}
	s.app, err = pulpcore.Open(t.Context(), set, plugin)
	must(t, err)
	must(t, s.app.SetAdminPassword(t.Context(), password))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.base = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			s.posts.Add(1)
		}
		s.app.Handler().ServeHTTP(w, r)
	})
	mux.Handle("/tasks/", http.StripPrefix("/tasks", taskpage.Handler(s.app.Queue(), s.app.Auth(), nil)))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- pulpcore.RunAll(ctx,
			func(ctx context.Context) error { return s.app.Work(ctx, 0, worker.KindAPI) },
			func(ctx context.Context) error { return s.app.ServeOn(ctx, l, mux) },
		)
	}()
	t.Cleanup(func() {
		for _, c := range s.steps {
			close(c) // ends the tasks
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ends with %v", err)
		}
		must(t, s.app.Close())
	})
	return s
}

// onPostgres are the settings of a server with nothing embedded, or none if there are no servers for it.
func onPostgres(t *testing.T) []settings.Option {
	t.Helper()
	if os.Getenv(dbtest.PostgresEnv) == "" {
		t.Skipf("%s is not set", dbtest.PostgresEnv)
	}
	redis := dbtest.RedisURL(t) // released after the App is closed
	return []settings.Option{
		settings.Value("DATABASE_URL", dbtest.Postgres(t)), settings.Value("REDIS_URL", redis),
	}
}

func (s *server) step(ctx context.Context, e *tasking.Env, a stepArgs) error {
	switch a.Name {
	case "fails":
		return pulperr.Public(pulperr.Invalid, "The manifest has no line for <b>a.iso</b>.")
	case "ends":
		return nil
	}
	steps := s.steps[a.Name]
	err := e.Progress(ctx, "Parsing metadata", "sync.parsing", func(p *tasking.Progress) error {
		p.SetTotal(1)
		p.Add(1)
		return nil
	})
	if err != nil {
		return err
	}
	return e.Progress(ctx, "Downloading artifacts", "sync.downloading.artifacts", func(p *tasking.Progress) error {
		if a.Total > 0 {
			p.SetTotal(a.Total)
		}
		for {
			select {
			case n, ok := <-steps:
				if !ok {
					return nil
				}
				p.SetDone(n)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// report tells a running task what it has done.
func (s *server) report(name string, done int64) {
	s.t.Helper()
	select {
	case s.steps[name] <- done:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("task %q does not run", name)
	}
}

func (s *server) dispatch(task *tasking.Task[stepArgs], a stepArgs, opts ...*tasking.DispatchOptions) uuid.UUID {
	s.t.Helper()
	ticket, err := task.Dispatch(s.t.Context(), s.app.Queue(), a, atMostOne(opts))
	must(s.t, err)
	return ticket.TaskID
}

func (s *server) wait(id uuid.UUID) {
	s.t.Helper()
	_, err := s.app.Queue().Wait(s.t.Context(), id)
	must(s.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// atMostOne returns the options of a call, or nil.
func atMostOne(opts []*tasking.DispatchOptions) *tasking.DispatchOptions {
	if len(opts) == 0 {
		return nil
	}
	return opts[0]
}
