package download_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status   int
		kind     pulperr.Kind
		requests int32
	}{
		{400, pulperr.Unavailable, 1},
		{401, pulperr.Unauthorized, 1},
		{403, pulperr.Forbidden, 1},
		{404, pulperr.NotFound, 1},
		{407, pulperr.Unauthorized, 1},
		{408, pulperr.Unavailable, 1},
		{410, pulperr.NotFound, 1},
		{416, pulperr.Unavailable, 1},
		{429, pulperr.Unavailable, 4},
		{500, pulperr.Unavailable, 4},
		{502, pulperr.Unavailable, 4},
		{503, pulperr.Unavailable, 4},
		{504, pulperr.Unavailable, 4},
		{202, pulperr.Unavailable, 1}, // accepted is not the file
		{204, pulperr.Unavailable, 1},
		{300, pulperr.Unavailable, 1},
		{302, pulperr.Unavailable, 1}, // without a Location
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(tt.status)
			}))
			var sink memory
			req := &download.Request{URL: srv.URL + "/a?key=s3cret"}
			_, err := newClient(t, download.Config{}).Stream(t.Context(), req, &sink)
			wantKind(t, err, tt.kind)
			status, ok := errors.AsType[*download.StatusError](err)
			if !ok || status.Status != tt.status || status.URL != srv.URL+"/a?key=…" {
				t.Errorf("Stream = %v, status error %+v", err, status)
			}
			if got := requests.Load(); got != tt.requests || sink.Len() != 0 {
				t.Errorf("requests = %d, want %d; sink has %d bytes", got, tt.requests, sink.Len())
			}
		})
	}
}

func TestUnexpectedPartialAnswer(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-3/100")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "part")
	}))
	var sink memory
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
	wantKind(t, err, pulperr.Unavailable)
	if sink.Len() != 0 {
		t.Errorf("sink has %q", sink.String())
	}
}

func TestRetriesThenFine(t *testing.T) {
	t.Parallel()
	two := 2
	for _, tt := range []struct {
		name     string
		failures int32
		perCall  *int
		fine     bool
	}{
		{"as many as allowed", 3, nil, true},
		{"one too many", 4, nil, false},
		{"fewer for this request", 3, &two, false},
		{"within this request's", 2, &two, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) <= tt.failures {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				fine(w, r)
			}))
			var sink memory
			res, err := newClient(t, download.Config{}).Stream(t.Context(),
				&download.Request{URL: srv.URL, MaxRetries: tt.perCall}, &sink)
			if (err == nil) != tt.fine {
				t.Fatalf("Stream = %v, want success: %v", err, tt.fine)
			}
			if tt.fine && (sink.String() != "fine" || res.Attempts != int(tt.failures)+1) {
				t.Errorf("sink = %q, result %+v", sink.String(), res)
			}
		})
	}
}

func TestWrongBytes(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	tests := []struct {
		name    string
		framing framing
		expect  *hashlib.Expect
		digest  bool
	}{
		{"digest", byLength, &hashlib.Expect{Digests: hashlib.SHA256Hex(strings.Repeat("0", 64))}, true},
		{"digest, chunked", byChunks, &hashlib.Expect{Digests: hashlib.SHA256Hex(strings.Repeat("0", 64))}, true},
		{"too long, announced", byLength, &hashlib.Expect{Size: hashlib.Size(99_999)}, false},
		{"too long, not announced", byChunks, &hashlib.Expect{Size: hashlib.Size(99_999)}, false},
		{"too long, by close", byClose, &hashlib.Expect{Size: hashlib.Size(50_000)}, false},
		{"empty expected", byChunks, &hashlib.Expect{Size: hashlib.Size(0)}, false},
		{"too short, announced", byLength, &hashlib.Expect{Size: hashlib.Size(100_001)}, false},
		{"too short, not announced", byChunks, &hashlib.Expect{Size: hashlib.Size(100_001)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &source{data: data, tag: `"v1"`, framing: tt.framing}
			srv := serve(t, s)
			var sink memory
			_, err := newClient(t, download.Config{}).Stream(t.Context(),
				&download.Request{URL: srv.URL, Expect: tt.expect}, &sink)
			wantKind(t, err, pulperr.Invalid)
			_, digest := errors.AsType[*hashlib.DigestMismatchError](err)
			_, size := errors.AsType[*hashlib.SizeMismatchError](err)
			if digest != tt.digest || size == tt.digest {
				t.Errorf("Stream = %v", err)
			}
			for _, r := range s.seen() {
				if r.Header.Get("Range") != "" {
					t.Errorf("wrong bytes were continued: Range %q", r.Header.Get("Range"))
				}
			}
			if want := 4; len(s.seen()) != want {
				t.Errorf("requests = %d, want %d", len(s.seen()), want)
			}
			if tt.expect.Size != nil && int64(sink.Len()) > *tt.expect.Size {
				t.Errorf("sink has %d bytes, want at most %d", sink.Len(), *tt.expect.Size)
			}
		})
	}
}

// A mirror that is being updated serves the right file on the second try.
func TestWrongBytesThenRight(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	wrong := &source{data: testData(70_000), tag: `"v1"`, framing: byChunks}
	right := &source{data: data, tag: `"v2"`, framing: byChunks}
	var requests atomic.Int32
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			wrong.ServeHTTP(w, r)
			return
		}
		right.ServeHTTP(w, r)
	}))
	var sink memory
	req := &download.Request{URL: srv.URL, Expect: expectAll(data)}
	res, err := newClient(t, download.Config{}).Stream(t.Context(), req, &sink)
	if err != nil || sink.resets != 1 || !bytes.Equal(sink.Bytes(), data) || res.Header.Get("ETag") != `"v2"` {
		t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
	}
}

func TestPackedBodyIsKept(t *testing.T) {
	t.Parallel()
	packed := []byte("\x1f\x8bnot really")
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed)
	}))
	var sink memory
	if _, err := newClient(t, download.Config{}).Stream(t.Context(),
		&download.Request{URL: srv.URL, Expect: expectAll(packed)}, &sink); err != nil {
		t.Fatalf("Stream = %v", err)
	}
}

func TestExpectation(t *testing.T) {
	t.Parallel()
	md5 := "5ed84a4bd4cd9b1c58f0a55ffb3d1b8c" // not of "fine", and not allowed
	mixed := hashlib.SHA256Hex(sha256Of([]byte("fine")))
	mixed.MD5 = md5
	tests := []struct {
		name    string
		digests hashlib.Digests
		kind    pulperr.Kind
	}{
		{"only a forbidden checksum", hashlib.Digests{MD5: md5}, pulperr.Unsupported},
		{"malformed", hashlib.SHA256Hex("xyz"), pulperr.Invalid},
		{"an allowed one beside a forbidden one", mixed, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				fine(w, r)
			}))
			var sink memory
			_, err := newClient(t, download.Config{}).Stream(t.Context(),
				&download.Request{URL: srv.URL, Expect: &hashlib.Expect{Digests: tt.digests}}, &sink)
			if tt.kind == 0 {
				if err != nil {
					t.Fatalf("Stream = %v", err)
				}
				return
			}
			wantKind(t, err, tt.kind)
			if requests.Load() != 0 {
				t.Errorf("requests = %d, want 0", requests.Load())
			}
		})
	}
}

// hashing is a sink that computes its own digest.
type hashing struct {
	memory
	asked int
	lie   bool
}

func (h *hashing) Digests() hashlib.Digests {
	h.asked++
	if h.lie {
		return hashlib.SHA256Hex(strings.Repeat("0", 64))
	}
	return hashlib.SHA256Hex(sha256Of(h.Bytes()))
}

func TestHasher(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	s := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{50_000}}
	srv := serve(t, s)
	sink := &hashing{}
	res, err := newClient(t, download.Config{}).Stream(t.Context(),
		&download.Request{URL: srv.URL, Expect: expectAll(data)}, sink)
	if err != nil || sink.asked != 1 || res.Digests != hashlib.SHA256Hex(sha256Of(data)) {
		t.Fatalf("Stream = %+v, %v; asked %d times", res, err, sink.asked)
	}
	_, err = newClient(t, download.Config{}).Stream(t.Context(),
		&download.Request{URL: srv.URL, Expect: expectAll(data)}, &hashing{lie: true})
	wantKind(t, err, pulperr.Invalid)
}

// broken is a sink that fails.
type broken struct {
	memory
	err error
}

func (b *broken) Write([]byte) (int, error) { return 0, b.err }

func TestSinkFails(t *testing.T) {
	t.Parallel()
	s := &source{data: testData(1000), tag: `"v1"`, framing: byLength}
	srv := serve(t, s)
	// Even if the sink's fault looks like a source's, it is no reason to ask the source again.
	fault := &download.SourceError{URL: "x", Err: io.ErrUnexpectedEOF}
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &broken{err: fault})
	if !errors.Is(err, fault) || len(s.seen()) != 1 {
		t.Fatalf("Stream = %v after %d requests", err, len(s.seen()))
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	allowed := []string{"/mnt/imports", "/srv/"}
	tests := []struct {
		url string
		ok  bool
	}{
		{"http://example.com/a", true},
		{"https://example.com:8443/a%2Fb?c=d#e", true},
		{"HTTPS://example.com", true},
		{"file:///mnt/imports/a", true},
		{"file://localhost/mnt/imports/a", true},
		{"file:///srv/a/../b", true},
		{"file:///mnt/imports", false},
		{"file:///mnt/imports-evil/a", false},
		{"file:///mnt/imports/../other/a", false},
		{"file:///mnt/imports/%2e%2e/%2e%2e/etc/passwd", false},
		{"file://host/mnt/imports/a", false},
		{"file:mnt/imports/a", false},
		{"http://user:hunter2@example.com/", false},
		{"http://user@example.com/", false},
		{"http://user:hunter2@exa mple.com/", false},
		{"http:///a", false},
		{"ftp://example.com/a", false},
		{"example.com/a", false},
		{"", false},
	}
	for _, tt := range tests {
		err := download.CheckURL(tt.url, allowed)
		if (err == nil) != tt.ok {
			t.Errorf("CheckURL(%q) = %v, want fine: %v", tt.url, err, tt.ok)
		}
		if err == nil {
			continue
		}
		if v, ok := errors.AsType[*pulperr.ValidationError](err); !ok || v.Field != "url" {
			t.Errorf("CheckURL(%q) = %v, want a fault of the field url", tt.url, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("CheckURL(%q) quotes the password: %v", tt.url, err)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	s := &source{data: data, framing: byLength, cuts: []int{60_000}} // without a validator: starts over
	srv := serve(t, s)
	c := newClient(t, download.Config{})
	tests := []struct{ path, suffix string }{
		{"/pool/a_1.0-2~x+y.deb?key=1", "-a_1.0-2~x+y.deb"},
		{"/", ""},
		{"/..", ""},
		{"/a%2F..%2Fb%00*", "-b__"},
		{"/" + strings.Repeat("x", 201), ""},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		res, err := c.Fetch(t.Context(), dir, &download.Request{URL: srv.URL + tt.path, Expect: expectAll(data)})
		if err != nil {
			t.Fatalf("Fetch(%q) = %v", tt.path, err)
		}
		got, err := os.ReadFile(res.Path)
		if err != nil || !bytes.Equal(got, data) || filepath.Dir(res.Path) != dir {
			t.Errorf("Fetch(%q): %q has %d bytes, %v", tt.path, res.Path, len(got), err)
		}
		if name := filepath.Base(res.Path); len(name) != 26+len(tt.suffix) || name[26:] != tt.suffix {
			t.Errorf("Fetch(%q) named the file %q, want 26 random characters and %q", tt.path, name, tt.suffix)
		}
	}
}

// A restart with a shorter file leaves nothing of the longer one.
func TestFetchStartsOver(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	var requests atomic.Int32
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &source{data: data, framing: byChunks}
		if requests.Add(1) == 1 {
			s.data = testData(120_000)
		}
		s.ServeHTTP(w, r)
	}))
	req := &download.Request{URL: srv.URL, Expect: &hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(data))}}
	res, err := newClient(t, download.Config{}).Fetch(t.Context(), t.TempDir(), req)
	if err != nil {
		t.Fatalf("Fetch = %v", err)
	}
	if got, err := os.ReadFile(res.Path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("file has %d bytes, %v, want %d", len(got), err, len(data))
	}
}

func TestFetchLeavesNothing(t *testing.T) {
	t.Parallel()
	s := &source{data: testData(100_000), framing: byLength}
	srv := serve(t, s)
	c := newClient(t, download.Config{})
	dir := t.TempDir()
	_, err := c.Fetch(t.Context(), dir, &download.Request{URL: srv.URL, Expect: expectAll([]byte("other"))})
	wantKind(t, err, pulperr.Invalid)
	_, err = c.Fetch(t.Context(), dir, &download.Request{URL: "gopher://x"})
	wantKind(t, err, pulperr.Invalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancelIt := func(*http.Response) error { cancel(); return nil }
	_, err = c.Fetch(ctx, dir, &download.Request{URL: srv.URL, OnHeader: cancelIt})
	wantKind(t, err, pulperr.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch = %v, want context.Canceled", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	if _, err := c.Fetch(t.Context(), filepath.Join(dir, "missing"), &download.Request{URL: srv.URL}); err == nil {
		t.Error("Fetch to a missing directory succeeded")
	}
}

func TestConfigCannotBePrinted(t *testing.T) {
	t.Parallel()
	cfg := download.Config{Password: "hunter2", ClientKey: "hunter2", ProxyPassword: "hunter2"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		got := []string{fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg), cfg.LogValue().String()}
		want := []string{"download.Config{…}", "download.Config{…}", "download.Config{…}"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", verb, diff)
		}
	}
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	for _, f := range []framing{byLength, byChunks, byClose} {
		for size, fits := range map[int64]bool{99_999: false, 100_000: true} {
			s := &source{data: data, tag: `"v1"`, framing: f}
			srv := serve(t, s)
			var sink memory
			_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL, MaxSize: size}, &sink)
			if fits && err != nil {
				t.Errorf("%s, at most %d: Stream = %v", f, size, err)
			}
			if !fits {
				wantKind(t, err, pulperr.TooLarge)
				if int64(sink.Len()) > size || len(s.seen()) != 1 {
					t.Errorf("%s: sink has %d bytes after %d requests", f, sink.Len(), len(s.seen()))
				}
			}
		}
	}
}
