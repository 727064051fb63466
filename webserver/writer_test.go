package webserver_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/webserver"
)

// inside returns h inside everything that this package has.
func inside(h http.HandlerFunc) http.Handler {
	guard := &webserver.Guard{Seal: func(h http.Header) { h.Set("Sealed", "yes") }}
	return (*webserver.Limits)(nil).Handler(guard.Handler((*webserver.Origins)(nil).Handler(h)))
}

// bigFile has more than two pieces.
func bigFile(t *testing.T) (name string, data []byte) {
	t.Helper()
	data = bytes.Repeat([]byte("0123456789abcdef"), 2*webserver.MinSendProgress/16+100)
	name = filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, data
}

// TestServers sends files and uploads through real servers.
func TestServers(t *testing.T) {
	t.Parallel()
	name, data := bigFile(t)
	h := inside(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sent, err := io.ReadAll(r.Body)
			must(err)
			_, _ = w.Write(sent)
			return
		}
		f, err := os.Open(name)
		must(err)
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	})
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2], func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(h)
			srv.EnableHTTP2 = http2
			srv.StartTLS()
			t.Cleanup(srv.Close)
			for _, tt := range []struct {
				name, method, ranges string
				status               int
				want                 []byte
			}{
				{"a file", "GET", "", 200, data},
				{"a range", "GET", "bytes=10-70000", 206, data[10:70001]},
				{"the head", "HEAD", "", 200, nil},
				{"no range", "GET", "bytes=9999999-", 416, []byte("invalid range: failed to overlap\n")},
				{"an upload", "POST", "", 200, data},
			} {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL, nil)
				must(err)
				if tt.method == http.MethodPost {
					req.Body = io.NopCloser(bytes.NewReader(data))
				}
				if tt.ranges != "" {
					req.Header.Set("Range", tt.ranges)
				}
				res, err := srv.Client().Do(req)
				must(err)
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != tt.status || !bytes.Equal(got, tt.want) || res.Header.Get("Sealed") != "yes" {
					t.Errorf("%s: %s, %d bytes, %v, %v; want %d, %d bytes", tt.name, res.Status, len(got), res.Header, err,
						tt.status, len(tt.want))
				}
			}
		})
	}
}

// sendfile is a ResponseWriter that notes what sendfile would send.
type sendfile struct {
	http.ResponseWriter
	files int // pieces of files, of at most MinSendProgress bytes
}

func (s *sendfile) ReadFrom(src io.Reader) (int64, error) {
	l, ok := src.(*io.LimitedReader)
	if !ok || l.N > webserver.MinSendProgress {
		return 0, errors.New("more than a piece")
	}
	if _, ok := l.R.(*os.File); ok {
		s.files++
	}
	return io.Copy(s.ResponseWriter, src)
}

func TestFilesAreSentBySendfile(t *testing.T) {
	t.Parallel()
	name, data := bigFile(t)
	for what, send := range map[string]func(w http.ResponseWriter, f *os.File){
		"the whole":  func(w http.ResponseWriter, f *os.File) { _, _ = io.Copy(w, onlyReader(f)) },
		"with limit": func(w http.ResponseWriter, f *os.File) { _, _ = io.CopyN(w, f, int64(len(data))) },
	} {
		f, err := os.Open(name)
		must(err)
		to := &sendfile{ResponseWriter: httptest.NewRecorder()}
		inside(func(w http.ResponseWriter, _ *http.Request) { send(w, f) }).
			ServeHTTP(to, httptest.NewRequest(http.MethodGet, "/", nil))
		must(f.Close())
		got, _ := to.ResponseWriter.(*httptest.ResponseRecorder)
		if !bytes.Equal(got.Body.Bytes(), data) || to.files != 3 {
			t.Errorf("%s: %d bytes in %d pieces, want %d in 3", what, got.Body.Len(), to.files, len(data))
		}
	}
}

// onlyReader has no WriteTo, so that io.Copy asks the other side.
func onlyReader(f *os.File) io.Reader { return &io.LimitedReader{R: f, N: 1 << 40} }

func TestHijackedConnectionsHaveNoLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limits().Server(inside(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			must(err)
			go func() {
				line, err := rw.ReadString('\n')
				must(err)
				_, err = io.WriteString(conn, line)
				must(err)
				must(conn.Close())
			}()
		}))
		c := serve(t, srv)
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		pass(time.Hour)
		c.send("hello\n")
		pass(time.Hour)
		if got, err := io.ReadAll(c.in); err != nil || string(got) != "hello\n" {
			t.Errorf("echo = %q, %v", got, err)
		}
	})
}

// TestDeadlinesOfHandlers has handlers that set deadlines themselves: the earlier one counts.
func TestDeadlinesOfHandlers(t *testing.T) {
	t.Parallel()
	for own, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var reading, writing time.Duration
			srv := (&webserver.Limits{BodyTimeout: 30 * time.Second, SendTimeout: 30 * time.Second}).
				Server(inside(func(w http.ResponseWriter, r *http.Request) {
					rc, began := http.NewResponseController(w), time.Now()
					must(rc.SetReadDeadline(began.Add(own)))
					_, err := io.ReadAll(r.Body)
					reading = time.Since(began)
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						panic(err)
					}
					began = time.Now()
					must(rc.SetWriteDeadline(began.Add(own)))
					_, err = w.Write(make([]byte, 1<<20))
					writing = time.Since(began)
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						panic(err)
					}
				}))
			gone := make(chan struct{})
			srv.ConnState = closesAt(gone)
			c := serve(t, srv)
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
			<-gone
			if reading != want || writing != want {
				t.Errorf("with a deadline in %s: reading took %s, writing %s, want %s", own, reading, writing, want)
			}
		})
	}
}

func TestTheOutermostLimitsCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &webserver.Limits{BodyTimeout: time.Second}
		srv := (&webserver.Limits{BodyTimeout: time.Minute}).
			Server(inner.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })))
		c := serve(t, srv)
		began := time.Now()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
		c.closed()
		if took := time.Since(began).Truncate(time.Second); took != time.Minute {
			t.Errorf("the connection ended after %s, want a minute", took)
		}
	})
}

// plain can do nothing but what it has to.
type plain struct{ http.ResponseWriter }

func TestPlainWriters(t *testing.T) {
	t.Parallel()
	got := httptest.NewRecorder()
	inside(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush() = %v", err)
		}
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack() = %v", err)
		}
		for _, set := range []func(time.Time) error{rc.SetReadDeadline, rc.SetWriteDeadline} {
			if err := set(time.Now()); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("deadline = %v", err)
			}
		}
		w.WriteHeader(http.StatusTeapot)
		_, err := io.Copy(w, r.Body)
		must(err)
	}).ServeHTTP(plain{got}, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("tea")))
	if got.Code != http.StatusTeapot || got.Body.String() != "tea" {
		t.Errorf("answer = %d %s", got.Code, got.Body)
	}
}

var _ net.Listener = (*pipes)(nil)
