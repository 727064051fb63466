// Command fileserver is a complete server for plain files in one binary: REST API, content app and workers. It needs no
// other software. See the package documentation of its plugin in ./file.
//
//	fileserver                  everything in one process
//	fileserver demo [FOLDER]    show the whole job on real files and exit
//	fileserver api              only the REST API
//	fileserver content          only the content app
//	fileserver worker           only the workers
//	fileserver migrate          bring the database schema up to date and exit
//	fileserver proxy nginx      print a configuration of nginx for the settings and exit; "proxy apache" likewise
//	fileserver task             one task, for a worker that starts it as a process of its own
//	fileserver check            look for impossible states of tasks, print them and exit, with 1 if there are any
//	fileserver checksums        print which artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS and exit, with 1 if any
//	fileserver fix-checksums    compute missing digests, remove forbidden ones and exit; may be stopped and run again
//	fileserver rotate-db-key    encrypt all secrets with the first key of the key file and exit
//	fileserver reset-admin      make a new admin password, print it and exit
//
// What the tasks do is shown at /tasks/, by the server of everything and by that of the API, to the admin.
//
// Without configuration it keeps everything below ./pulp: SQLite and a folder. Settings come from
// the file named by PULP_SETTINGS (or /etc/pulp/settings.toml if that exists) and from PULP_… variables; with
// PULP_DATABASE_URL, PULP_REDIS_URL and PULP_STORAGE_URL the roles run apart, on as many hosts as you like.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/examples/fileserver/taskpage"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for running tasks
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

var errUsage = errors.New("usage: fileserver [demo [FOLDER] | api | content | worker | migrate |\n" +
	"  proxy nginx | proxy apache | check | checksums | fix-checksums | rotate-db-key | reset-admin]")

func run(ctx context.Context, out io.Writer, args []string) (err error) {
	command := "all"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	// Before the settings are read: the demo has its own.
	if command == "demo" {
		return runDemo(ctx, out, args)
	}
	// It needs the settings only: a configuration is often made on another machine than the database's.
	if command == "proxy" {
		return writeProxyConfig(out, args)
	}
	if len(args) > 0 {
		return errUsage
	}
	set, err := load()
	if err != nil {
		return err
	}
	slog.SetDefault(set.Logger(os.Stderr)) // for deprecation warnings, which have no other logger
	// Before the App is opened, because Open refuses a database with an older schema.
	if command == "migrate" {
		return pulpcore.Migrate(ctx, set, file.Plugin())
	}
	serve, ok := roles()[command]
	if !ok {
		return errUsage
	}
	store, err := openStore(ctx, set)
	if err != nil {
		return err
	}
	opts := &pulpcore.Options{
		Store: store, TaskCommand: taskCommand,
		// Open refuses the database that these two are for.
		IgnoreChecksums: command == "checksums" || command == "fix-checksums",
	}
	app, err := pulpcore.OpenWith(ctx, set, opts, file.Plugin())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close()) }()
	return serve(ctx, out, app)
}

// taskCommand is this program as the process of one task.
func taskCommand() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.Command(self, "task") //nolint:gosec // our own program
}

// role is what a process does with the App.
type role func(ctx context.Context, out io.Writer, app *pulpcore.App) error

func roles() map[string]role {
	return map[string]role{
		"all": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			if err := firstStart(ctx, out, app); err != nil {
				return err
			}
			if err := tellPage(out, app); err != nil {
				return err
			}
			return pulpcore.RunAll(ctx,
				func(ctx context.Context) error {
					return app.Serve(ctx, app.Settings().Core().Listen, withTaskPage(app, app.Handler()))
				},
				func(ctx context.Context) error { return app.Work(ctx, 0, worker.KindAPI, worker.KindContent) },
			)
		},
		"api": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			if err := firstStart(ctx, out, app); err != nil {
				return err
			}
			if err := tellPage(out, app); err != nil {
				return err
			}
			return serveRole(ctx, app, "api", withTaskPage(app, app.API()))
		},
		"content": func(ctx context.Context, _ io.Writer, app *pulpcore.App) error {
			return serveRole(ctx, app, "content", app.Content())
		},
		"worker": func(ctx context.Context, _ io.Writer, app *pulpcore.App) error {
			return app.Work(ctx, 0)
		},
		"task": func(ctx context.Context, _ io.Writer, app *pulpcore.App) error {
			return app.RunIsolated(ctx)
		},
		"check": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			return check(ctx, out, app)
		},
		"checksums":     reportChecksums,
		"fix-checksums": fixChecksums,
		"rotate-db-key": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			n, err := models.RotateKey(ctx, app.DB())
			_, _ = fmt.Fprintf(out, "%d secrets were encrypted with the first key\n", n)
			return err
		},
		"reset-admin": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			return newAdminPassword(ctx, out, app)
		},
	}
}

func serveRole(ctx context.Context, app *pulpcore.App, kind string, h http.Handler) error {
	return pulpcore.RunAll(ctx,
		// The status lists a server, and other processes count it as alive, only while its heartbeat comes.
		func(ctx context.Context) error { return app.Heartbeat(ctx, kind) },
		func(ctx context.Context) error { return app.Serve(ctx, app.Settings().Core().Listen, h) },
	)
}

// withTaskPage serves the page of tasks beside h.
func withTaskPage(app *pulpcore.App, h http.Handler) http.Handler {
	set := app.Settings()
	page := taskpage.Handler(app.Queue(), app.Auth(), &taskpage.Options{
		API: set.Core().APIRoot + "api/v3/", Origins: app.Origins(), Log: set.Logger(os.Stderr),
	})
	mux := http.NewServeMux()
	mux.Handle("/tasks/", http.StripPrefix("/tasks", page))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/tasks/") || r.URL.Path == "/tasks" {
			mux.ServeHTTP(w, r) // which also adds the slash
			return
		}
		h.ServeHTTP(w, r) // with its path as it came
	})
}

// tellPage prints the address of the page, once per start.
func tellPage(out io.Writer, app *pulpcore.App) error {
	addr := app.Settings().Core().Listen
	if strings.HasPrefix(addr, ":") {
		addr = "localhost" + addr
	}
	_, err := fmt.Fprintf(out, "Tasks are shown at http://%s/tasks/\n", addr)
	return err
}

func runDemo(ctx context.Context, out io.Writer, args []string) error {
	switch len(args) {
	case 0:
		src, err := goSource(ctx)
		if err != nil {
			return err
		}
		return demo(ctx, out, src)
	case 1:
		return demo(ctx, out, args[0])
	}
	return errUsage
}

func load() (*settings.Set, error) {
	configured := settings.OptionalFile("/etc/pulp/settings.toml")
	// A file that the operator names must exist; the file at the default place need not.
	if path := os.Getenv("PULP_SETTINGS"); path != "" {
		configured = settings.File(path)
	}
	return settings.Load(configured, settings.Env("PULP_"))
}

// firstStart makes the admin when there is none yet.
func firstStart(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	password := rand.Text()
	created, err := app.CreateAdmin(ctx, password)
	if err != nil || !created {
		return err
	}
	return tell(out, password)
}

func newAdminPassword(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	password := rand.Text()
	if err := app.SetAdminPassword(ctx, password); err != nil {
		return err
	}
	return tell(out, password)
}

func check(ctx context.Context, out io.Writer, app *pulpcore.App) error {
	found, err := inspect.Check(ctx, app.Queue().DB())
	if err != nil {
		return err
	}
	for _, v := range found {
		if _, err := fmt.Fprintln(out, v); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%d violations, which are faults of the task engine; please report them", len(found))
	}
	return nil
}

func tell(out io.Writer, password string) error {
	_, err := fmt.Fprintf(out, "The user %q has the password %s\n", pulpcore.AdminName, password)
	return err
}

// goEnv returns a variable of the go command.
func goEnv(ctx context.Context, name string) (string, error) {
	raw, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s (%s): %w", name, runtime.Version(), err)
	}
	return strings.TrimSpace(string(raw)), nil
}
