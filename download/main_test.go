package download_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testData returns n bytes that look random but are always the same.
func testData(n int) []byte {
	src := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = src.Read(b)
	return b
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func expectAll(b []byte) *hashlib.Expect {
	return &hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(b)), Size: hashlib.Size(int64(len(b)))}
}

// newClient returns a client whose retries come at once.
func newClient(t testing.TB, cfg download.Config) *download.Client {
	t.Helper()
	if cfg.RetryDelay == 0 {
		cfg.RetryDelay = time.Nanosecond
	}
	c, err := download.New(&cfg)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// memory is a sink that keeps the bytes and counts the resets.
type memory struct {
	bytes.Buffer
	resets int
}

func (m *memory) Reset() error {
	m.Buffer.Reset()
	m.resets++
	return nil
}

// framing is how the end of a body is marked.
type framing string

const (
	byLength framing = "by length"
	byChunks framing = "by chunks"
	byClose  framing = "by close"
)

// source serves one file with ranges, and cuts some of its answers.
type source struct {
	data     []byte
	tag      string // ETag; empty for none
	modified string // Last-Modified; empty for none
	framing  framing
	cuts     []int // answer i is cut when the file's byte cuts[i] is reached; answers beyond are whole
	noRanges bool

	mu       sync.Mutex
	requests []*http.Request
}

func (s *source) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.requests)
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	h := http.Header{}
	if s.tag != "" {
		h.Set("ETag", s.tag)
	}
	if s.modified != "" {
		h.Set("Last-Modified", s.modified)
	}
	start, status := s.span(r, h)
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.Header()["Content-Range"] = h["Content-Range"]
		w.WriteHeader(status)
		return
	}
	body, cut := s.data[start:], false
	if n < len(s.cuts) && s.cuts[n] >= start {
		body, cut = s.data[start:s.cuts[n]], true
	}
	if s.framing == byClose {
		hijacked(w, status, h, body)
		return
	}
	for name, values := range h {
		w.Header()[name] = values
	}
	if s.framing == byLength {
		w.Header().Set("Content-Length", strconv.Itoa(len(s.data)-start))
	}
	w.WriteHeader(status)
	w.(http.Flusher).Flush()
	_, _ = w.Write(body)
	if cut {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func (s *source) span(r *http.Request, h http.Header) (start, status int) {
	from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	same := r.Header.Get("If-Range") != "" && (r.Header.Get("If-Range") == s.tag || r.Header.Get("If-Range") == s.modified)
	if !ok || !same || s.noRanges {
		return 0, http.StatusOK
	}
	start, _ = strconv.Atoi(strings.TrimSuffix(from, "-"))
	if start >= len(s.data) {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(s.data)))
		return 0, http.StatusRequestedRangeNotSatisfiable
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(s.data)-1, len(s.data)))
	return start, http.StatusPartialContent
}

// hijacked answers without length and without chunks: only the closed connection ends the body.
func hijacked(w http.ResponseWriter, status int, h http.Header, body []byte) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 %d Fine\r\nConnection: close\r\n", status)
	_ = h.Write(rw)
	_, _ = rw.WriteString("\r\n")
	_, _ = rw.Write(body)
	_ = rw.Flush()
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func wantKind(t testing.TB, err error, kind pulperr.Kind) {
	t.Helper()
	if !errors.Is(err, kind) || pulperr.KindOf(err) != kind {
		t.Fatalf("error = %v (kind %v), want kind %v", err, pulperr.KindOf(err), kind)
	}
}

// pipeNet is a network of net.Pipe: its time is the bubble's in a synctest.
type pipeNet struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// servePipe starts a server for h on a pipe network. Close the server before the bubble ends.
func servePipe(h http.Handler) (*http.Server, *pipeNet) {
	p := &pipeNet{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(p) }()
	return srv, p
}

func (p *pipeNet) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeNet) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeNet) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
