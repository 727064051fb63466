package content_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// record serves one request without a network. A panic that cuts the connection is reported as cut.
func (s *site) record(t testing.TB, method, path string, h http.Header) (rec *httptest.ResponseRecorder, cut bool) {
	r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: h, ProtoMajor: 1, ProtoMinor: 1}
	rec = httptest.NewRecorder()
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // panicked with as it is
			cut = true
		} else if p != nil {
			panic(p)
		}
	}()
	s.app.ServeHTTP(rec, r.WithContext(t.Context()))
	return rec, false
}

// FuzzPath: no path makes the app fail, and what is served under a path is the file of that path.
func FuzzPath(f *testing.F) {
	s := newSite(f, sqlite(f), nil)
	paths := []string{"a.txt", "dir/b.txt", "dir/sub/ü c", "100%25", "a/b/c/d"}
	var pairs []string
	for _, p := range paths {
		pairs = append(pairs, p, "the file "+p)
	}
	s.distribute("base/x", s.tree(pairs...))
	odd := []string{"", "dir", "dir/", "dir/../a.txt", "dir//b.txt", "a.txt/", "\x00", "\xff", "./a.txt", "%61.txt"}
	for _, p := range append(odd, paths...) {
		f.Add("/pulp/content/base/x/" + p)
	}
	f.Add("/pulp/content/")
	f.Add("/pulp/content/base")
	f.Add("//pulp/content/base/x/a.txt")
	f.Add("/pulp/content/base/x//a.txt")
	f.Fuzz(func(t *testing.T, path string) {
		rec, cut := s.record(t, http.MethodGet, path, http.Header{})
		if cut || rec.Code >= 500 {
			t.Fatalf("GET %q = %d, cut %v", path, rec.Code, cut)
		}
		rel, below := strings.CutPrefix(path, "/pulp/content/base/x/")
		rel = strings.TrimLeft(rel, "/") // directly behind a base path more slashes are accepted
		isFile := false
		for _, p := range paths {
			isFile = isFile || below && p == rel
		}
		served := strings.HasPrefix(rec.Body.String(), "the file ")
		if served != isFile || served && rec.Body.String() != "the file "+rel {
			t.Errorf("GET %q = %d %q", path, rec.Code, rec.Body)
		}
		if rec.Code == 301 && rec.Header().Get("Location") != (&url.URL{Path: path}).EscapedPath()+"/" {
			t.Errorf("GET %q leads to %q", path, rec.Header().Get("Location"))
		}
	})
}

// FuzzRange: whatever a Range header says, the answer is all of the file, a right part of it, or an error; and it is
// the same one for stored bytes and for bytes that are fetched.
func FuzzRange(f *testing.F) {
	const text = "0123456789abcdefghij"
	s := newSite(f, sqlite(f), nil)
	s.distribute("y", s.tree("f", text))
	s.absent(models.Streamed, newUpstream(f, sends(text, true)).URL, promise(text))
	for _, h := range []string{
		"bytes=0-9", "bytes=-5", "bytes=5-", "bytes=-0", "bytes=20-", "bytes=1-2,4-5", "bytes=9-1",
		"bytes = 1-2", "bytes=,", "bytes=0-0,", "items=0-1", "bytes=99999999999999999999-", "bytes=--1", "bytes=0-99,-99",
		"BYTES=0-1", "bytes=+1-2", "bytes=-18446744073709551616", "bytes=0-1, 18446744073709551616-",
	} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		h := http.Header{"Range": {header}}
		stored, cut := s.record(t, http.MethodGet, "/pulp/content/y/f", h)
		fetched, cut2 := s.record(t, http.MethodGet, "/pulp/content/x/f", h)
		if cut || cut2 || stored.Code != fetched.Code {
			t.Fatalf("Range: %q = %d and %d, cut %v and %v", header, stored.Code, fetched.Code, cut, cut2)
		}
		switch got := stored.Body.String(); stored.Code {
		case http.StatusOK:
			if got != text {
				t.Errorf("Range: %q = %q", header, got)
			}
		case http.StatusPartialContent:
			contentRange := stored.Header().Get("Content-Range")
			if contentRange == "" {
				return // several parts, each with a boundary made at random
			}
			var from, to, size int
			if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &from, &to, &size); err != nil {
				t.Fatalf("Content-Range: %s: %v", contentRange, err)
			}
			if size != len(text) || from > to || to >= size || got != text[from:to+1] || fetched.Body.String() != got {
				t.Errorf("Range: %q = %q (%s)", header, got, contentRange)
			}
		case http.StatusRequestedRangeNotSatisfiable:
			if h := stored.Header().Get("Content-Range"); h != fmt.Sprintf("bytes */%d", len(text)) {
				t.Errorf("Range: %q = 416 with Content-Range %q", header, h)
			}
		default:
			t.Errorf("Range: %q = %d", header, stored.Code)
		}
	})
}
