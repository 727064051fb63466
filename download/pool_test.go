package download_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pulpgo/pulpcore/download"
)

func newPool(t *testing.T, limit int) *download.Pool {
	p := download.NewPool(limit)
	t.Cleanup(func() { p.Close() })
	return p
}

func noConfig() (*download.Config, error) { return nil, nil }

func poolClient(t *testing.T, p *download.Pool, key, version string) *download.Client {
	t.Helper()
	c, err := p.Client(key, version, noConfig)
	if err != nil {
		t.Fatalf("Client = %v", err)
	}
	return c
}

func TestPoolShares(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0)
	var loads atomic.Int32
	clients := make([]*download.Client, 20)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c, err := p.Client("remote", "1", func() (*download.Config, error) {
				loads.Add(1)
				return &download.Config{}, nil
			})
			if err != nil {
				t.Errorf("Client = %v", err)
			}
			clients[i] = c
		})
	}
	wg.Wait()
	for _, c := range clients {
		if c != clients[0] {
			t.Fatal("two clients for one remote")
		}
	}
	if loads.Load() != 1 {
		t.Errorf("loads = %d, want 1", loads.Load())
	}
	if poolClient(t, p, "remote", "2") == clients[0] {
		t.Error("a new version has the old client")
	}
	if poolClient(t, p, "other", "2") == poolClient(t, p, "remote", "2") {
		t.Error("two remotes share a client")
	}
}

func TestPoolForgetsTheOldest(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	a, b := poolClient(t, p, "a", "1"), poolClient(t, p, "b", "1")
	poolClient(t, p, "a", "1") // used again
	poolClient(t, p, "c", "1") // pushes b out
	if poolClient(t, p, "a", "1") != a {
		t.Error("a was forgotten")
	}
	if poolClient(t, p, "b", "1") == b {
		t.Error("b was not forgotten")
	}
}

func TestPoolKeepsNoFault(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0)
	fault := errors.New("no key to decrypt")
	if _, err := p.Client("a", "1", func() (*download.Config, error) { return nil, fault }); !errors.Is(err, fault) {
		t.Fatalf("Client = %v, want %v", err, fault)
	}
	if _, err := p.Client("a", "1", func() (*download.Config, error) {
		return &download.Config{Concurrency: -1}, nil
	}); err == nil {
		t.Fatal("Client accepted a wrong configuration")
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = p.Client("a", "1", func() (*download.Config, error) { panic("load") })
	}()
	poolClient(t, p, "a", "1")
}

// connections serves h and sends on closed for each connection that ends.
func connections(t *testing.T, h http.HandlerFunc) (url string, closed chan struct{}) {
	t.Helper()
	closed = make(chan struct{}, 10)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, closed
}

// A client that was replaced finishes what runs, may be used by who holds it, and leaves no connection.
func TestPoolReplaces(t *testing.T) {
	t.Parallel()
	started, goOn := make(chan struct{}), make(chan struct{})
	url, closed := connections(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "be")
		w.(http.Flusher).Flush()
		started <- struct{}{}
		<-goOn
		_, _ = io.WriteString(w, "gun")
	})
	p := newPool(t, 0)
	old := poolClient(t, p, "a", "1")
	for i := range 2 {
		var wg sync.WaitGroup
		wg.Go(func() {
			var sink memory
			_, err := old.Stream(t.Context(), &download.Request{URL: url}, &sink)
			if err != nil || sink.String() != "begun" {
				t.Errorf("Stream = %v with %q", err, sink.String())
			}
		})
		<-started
		if i == 0 {
			poolClient(t, p, "a", "2")
		}
		goOn <- struct{}{}
		wg.Wait()
		<-closed // or this test never ends
	}
}

// A client that is replaced before it was made is closed too.
func TestPoolReplacesWhileLoading(t *testing.T) {
	t.Parallel()
	url, closed := connections(t, fine)
	p := newPool(t, 0)
	old, err := p.Client("a", "1", func() (*download.Config, error) {
		poolClient(t, p, "a", "2")
		return nil, nil
	})
	if err != nil {
		t.Fatalf("Client = %v", err)
	}
	if _, err := old.Stream(t.Context(), &download.Request{URL: url}, &memory{}); err != nil {
		t.Fatalf("Stream = %v", err)
	}
	<-closed // or this test never ends
}

func TestPoolClosed(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(fine))
	p := newPool(t, 0)
	before := poolClient(t, p, "a", "1")
	p.Close()
	p.Close()
	after := poolClient(t, p, "a", "1")
	for i, c := range []*download.Client{before, after} { // neither may leave a goroutine; TestMain looks
		if _, err := c.Stream(t.Context(), &download.Request{URL: srv.URL}, &memory{}); err != nil {
			t.Errorf("client %d: Stream = %v", i, err)
		}
	}
}

// Many users, versions and keys at once: for the race detector.
func TestPoolUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPool(t, 3)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { _, _ = p.Client(fmt.Sprint(i%7), fmt.Sprint(i%3), noConfig) })
	}
	wg.Wait()
}
