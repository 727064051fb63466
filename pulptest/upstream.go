package pulptest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Serve starts a server that plays the upstream, with files given as pairs of path and content, and returns its
// address without a slash at the end. To count its requests or to let it fail, see [NewUpstream].
func Serve(t testing.TB, pathsAndContents ...string) string {
	t.Helper()
	return NewUpstream(t, Files(t, pathsAndContents...)).URL
}

// Files returns a handler for [NewUpstream] that serves files, given as pairs of path and content. It answers with 404
// for other paths.
func Files(t testing.TB, pathsAndContents ...string) http.Handler {
	t.Helper()
	if len(pathsAndContents)%2 != 0 {
		t.Fatal("pulptest: files are pairs of path and content")
	}
	files := map[string]string{}
	for i := 0; i < len(pathsAndContents); i += 2 {
		files["/"+pathsAndContents[i]] = pathsAndContents[i+1]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, body)
	})
}

// Upstream is a server that plays the upstream. It keeps what was asked for and fails on demand. Its methods are safe
// for concurrent use.
type Upstream struct {
	URL string // without a slash at the end

	handler http.Handler

	mu     sync.Mutex
	asked  []*url.URL
	faults map[string]*fault // by path, with a slash at the beginning
}

// fault is how the next answers for a path go wrong.
type fault struct {
	times  int // answers that are left
	status int // 0 cuts the answer
	after  int // bytes of the body before the cut
}

// NewUpstream starts an upstream whose answers are the handler's: [Files], or one of the test's own. It listens on the
// loopback interface until the test ends.
func NewUpstream(t testing.TB, h http.Handler) *Upstream {
	t.Helper()
	u := &Upstream{handler: h, faults: map[string]*fault{}}
	srv := httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(srv.Close)
	u.URL = srv.URL
	return u
}

// Asked returns the URLs that were asked for, path and query, in the order of their requests.
func (u *Upstream) Asked() []*url.URL {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*url.URL(nil), u.asked...)
}

// Count returns how many requests there were for a path, given as in [Files] without a slash at the beginning.
func (u *Upstream) Count(path string) (n int) {
	for _, asked := range u.Asked() {
		if asked.Path == "/"+path {
			n++
		}
	}
	return n
}

// Fail answers the next requests for a path with a status. It takes the place of an earlier Fail or Cut for the path; 0
// times ends that.
func (u *Upstream) Fail(path string, times, status int) {
	u.set(path, fault{times: times, status: status})
}

// Cut ends the connection of the next requests for a path, after so many bytes of the body. It takes the place of an
// earlier Fail or Cut for the path.
func (u *Upstream) Cut(path string, times, afterBytes int) {
	u.set(path, fault{times: times, after: afterBytes})
}

func (u *Upstream) set(path string, f fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults["/"+strings.TrimPrefix(path, "/")] = &f
}

// next notes a request and returns how its answer goes wrong; nil if it does not.
func (u *Upstream) next(asked *url.URL) *fault {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, asked)
	f := u.faults[asked.Path]
	if f == nil || f.times <= 0 {
		return nil
	}
	f.times--
	return f
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	// A copy, because the handler may change the request's, as http.StripPrefix does not but others do.
	asked := *r.URL
	switch f := u.next(&asked); {
	case f == nil:
		u.handler.ServeHTTP(w, r)
	case f.status != 0:
		http.Error(w, http.StatusText(f.status), f.status)
	default:
		u.handler.ServeHTTP(&cutter{ResponseWriter: w, left: f.after}, r)
		// The body was shorter. The answer must not arrive whole nevertheless.
		cut(w)
	}
}

// cutter is a ResponseWriter that ends the connection after some bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int
}

// Write implements [io.Writer].
func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	cut(c.ResponseWriter)
	return 0, nil // not reached
}

// cut sends what was written and ends the connection.
func cut(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
