package pulpcore_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/settings"
)

// The host of the README: everything in one process.
func Example_host() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for running tasks
	set, err := settings.Load(settings.OptionalFile("/etc/pulp/settings.toml"), settings.Env("PULP_"))
	if err != nil {
		log.Fatal(err)
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	if err := app.Run(ctx); err != nil { // API, content app and workers until ctx is done
		log.Print(err)
	}
}

// The handlers of an App can be mounted anywhere.
func Example() {
	dir, err := os.MkdirTemp("", "pulpcore-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", dir))
	if err != nil {
		log.Fatal(err)
	}
	app, err := pulpcore.Open(context.Background(), set, file.Plugin())
	if err != nil {
		log.Print(err)
		return
	}
	defer app.Close()

	mux := http.NewServeMux()
	mux.Handle("/pulp/api/v3/", app.API())
	mux.Handle("/pulp/content/", app.Content())

	res := httptest.NewRecorder()
	mux.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "http://localhost/pulp/api/v3/status/", nil))
	fmt.Println(res.Code, strings.Contains(res.Body.String(), `"component":"file"`))
	// Output: 200 true
}

// TestReadmeShowsTheExample keeps the README's host and the compiled one the same.
func TestReadmeShowsTheExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(source), "func Example_host() {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	if !strings.Contains(string(readme), body) {
		t.Errorf("README.md does not show the body of Example_host:\n%s", body)
	}
}
