package pulpcore_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestServeEndsStreams has a client that would stay forever.
func TestServeEndsStreams(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t)
	if err := app.SetAdminPassword(t.Context(), "a password that is long"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- pulpcore.ServeOn(ctx, l, app.Handler()) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+l.Addr().String()+"/pulp/api/v3/tasks/events/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(pulpcore.AdminName, "a password that is long")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if res.StatusCode != http.StatusOK || !lines.Scan() {
		t.Fatalf("the stream does not begin: %s", res.Status)
	}
	began := time.Now()
	stop()
	for lines.Scan() {
		continue
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream ends with %v, want a proper end", err)
	}
	if err := <-served; err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("ServeOn() = %v after %s, want nil at once", err, time.Since(began))
	}
}

// TestFilesOfForms has a page of the host parse a form that nobody else removes the files of.
func TestFilesOfForms(t *testing.T) { //nolint:paralleltest // Uploads sets the environment
	uploads := nettest.NewUploads(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- pulpcore.ServeOn(ctx, l, uploads) }()
	res, err := http.DefaultClient.Do(uploads.Request("http://" + l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	stop()
	if err := <-served; err != nil || len(uploads.Files()) > 0 {
		t.Errorf("ServeOn() = %v, files that are left: %q", err, uploads.Files())
	}
}
