package guide_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/nettest"
)

// TestServe runs the host of docs/hosts.md until its context ends.
func TestServe(t *testing.T) {
	app := open(Plugin())
	defer app.close()
	addr := nettest.FreeAddr(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, app.App, addr) }()
	nettest.Await(t, addr)
	for path, want := range map[string]int{"/": 200, "/pulp/api/v3/status/": 200, "/pulp/content/none/": 404} {
		if got := status(t, "http://"+addr+path); got != want {
			t.Errorf("GET %s = %d, want %d", path, got, want)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve = %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the server did not end")
	}
}

// status asks for a URL.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
