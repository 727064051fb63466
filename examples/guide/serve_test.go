package guide_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestServe runs the host of docs/hosts.md until its context ends.
func TestServe(t *testing.T) {
	app := open(Plugin())
	defer app.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, app.App, addr) }()
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

// status asks until the server listens.
func status(t *testing.T, url string) int {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(deadline, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			return res.StatusCode
		}
		if deadline.Err() != nil {
			t.Fatal(err)
		}
	}
}
