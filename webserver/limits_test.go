package webserver_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

// limits are different from each other and from the defaults.
func limits() *webserver.Limits {
	return &webserver.Limits{
		HeaderTimeout: 20 * time.Second, BodyTimeout: 30 * time.Second, SendTimeout: 60 * time.Second, IdleTimeout: 90 * time.Second,
	}
}

// TestStalledClients has clients that stop moving.
func TestStalledClients(t *testing.T) {
	t.Parallel()
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	read := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			panic(err)
		}
		w.WriteHeader(http.StatusRequestTimeout)
	}
	write := func(w http.ResponseWriter, r *http.Request) {
		if _, err := w.Write(make([]byte, 1<<20)); err == nil || r.Context().Err() == nil {
			panic("the answer was written")
		}
	}
	const late = 500 * time.Millisecond // for which a server waits with closing
	tests := []struct {
		name    string
		request string
		handler http.HandlerFunc
		reads   bool // the client reads the answer
		want    time.Duration
	}{
		{"half a header", "GET / HTTP/1.1\r\nHost: a\r\n", answer, true, 20 * time.Second},
		{"no body, that is not read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", answer, true, 30 * time.Second},
		{"no body of a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", answer, true, 30 * time.Second},
		{"half a body, that is not read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", answer, true, 30 * time.Second},
		{"no chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", answer, true, 30 * time.Second},
		{"no body, that is read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", read, true, 30 * time.Second},
		{"half a body, that is read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", read, true, 30 * time.Second},
		{"a long answer, not read", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", write, false, 60 * time.Second},
		{"a short answer, not read", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer, false, 60 * time.Second},
		{"a flushed answer, not read", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err == nil {
				panic("the answer was flushed")
			}
		}, false, 60 * time.Second},
		{"a stream of events, not read", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, ": still here\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}, false, 60 * time.Second},
		{"an answer, and no more requests", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer, true, 90 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				srv := limits().Server(tt.handler)
				srv.ConnState = closesAt(gone)
				c := serve(t, srv)
				began := time.Now()
				c.send(tt.request)
				if tt.reads {
					c.closed()
				}
				<-gone
				if took := time.Since(began); took < tt.want || took > tt.want+late {
					t.Errorf("the connection ended after %s, want %s", took, tt.want)
				}
			})
		})
	}
}

// TestMovingClients has clients that are slow, and handlers that are, and that is fine.
func TestMovingClients(t *testing.T) {
	t.Parallel()
	const total = 5 * time.Minute
	busy := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(total):
			_, err := io.Copy(w, r.Body)
			must(err)
		case <-r.Context().Done():
			panic("the request was canceled")
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		client  func(c *client)
	}{
		{"an upload", func(_ http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if must(err); n != 12*webserver.MinBodyProgress {
				panic(fmt.Sprint(n))
			}
		}, func(c *client) {
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 12*webserver.MinBodyProgress))
			for range 12 {
				pass(29 * time.Second)
				c.send(strings.Repeat("x", webserver.MinBodyProgress))
			}
		}},
		{"a download", func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 12*webserver.MinSendProgress))
			must(err)
		}, func(c *client) {
			c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			for range 12 {
				pass(29 * time.Second)
				_, err := io.CopyN(io.Discard, c.in, webserver.MinSendProgress)
				must(err)
			}
		}},
		{"a handler without a body", busy, func(c *client) { c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
		{"a handler that reads late", busy, func(c *client) {
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		}},
		{"a handler that has read", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			must(err)
			busy(w, r)
		}, func(c *client) { c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") }},
		{"a handler that never reads", func(w http.ResponseWriter, r *http.Request) {
			pass(total)
			must(r.Context().Err())
		}, func(c *client) { c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") }},
		{"a handler that pauses in its answer", func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				_, err := io.WriteString(w, "more")
				must(err)
				must(http.NewResponseController(w).Flush())
				pass(total)
			}
			must(r.Context().Err())
		}, func(c *client) { c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fine := make(chan struct{})
				srv := limits().Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tt.handler(w, r)
					close(fine)
				}))
				srv.WriteTimeout = time.Second // of a host that has one
				c := serve(t, srv)
				began := time.Now()
				tt.client(c)
				_, _ = c.in.Peek(1)
				go func() { _, _ = io.Copy(io.Discard, c.in) }()
				select {
				case <-fine:
				case <-time.After(time.Hour):
					t.Error("the handler did not end well")
				}
				if took := time.Since(began); took < total {
					t.Errorf("the handler ended after %s", took)
				}
			})
		})
	}
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func closesAt(gone chan struct{}) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(gone)
		}
	}
}

func TestValidateLimits(t *testing.T) {
	t.Parallel()
	if err := (*webserver.Limits)(nil).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&webserver.Limits{IdleTimeout: time.Second}).Validate(); err != nil {
		t.Error(err)
	}
	err := (&webserver.Limits{HeaderTimeout: -1, SendTimeout: -1}).Validate()
	if !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), "SendTimeout") || !strings.Contains(err.Error(), "HeaderTimeout") {
		t.Errorf("Validate() = %v, want both faults", err)
	}
}
