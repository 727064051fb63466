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
	"github.com/pulpgo/pulpcore/pulpcmd"
	"github.com/pulpgo/pulpcore/pulpcmd/s3"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "demo" {
		program().Main()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := runDemo(ctx, os.Stdout, os.Args[2:])
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// program has all commands but demo, which has settings of its own.
func program() *pulpcmd.Program {
	return &pulpcmd.Program{
		Name: "fileserver", Plugins: []*pulpcore.Plugin{file.Plugin()}, Store: s3.Open, SetLogger: slog.SetDefault,
		Wrap: func(out io.Writer, app *pulpcore.App, h http.Handler) (http.Handler, error) {
			return withTaskPage(app, h), tellPage(out, app)
		},
	}
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
	return fmt.Errorf("%w: fileserver demo [FOLDER]", pulpcmd.ErrUsage)
}

// goEnv returns a variable of the go command.
func goEnv(ctx context.Context, name string) (string, error) {
	raw, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s (%s): %w", name, runtime.Version(), err)
	}
	return strings.TrimSpace(string(raw)), nil
}
