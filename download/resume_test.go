package download_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// A body that is cut anywhere is continued, however its end is marked, and never taken for whole.
func TestCutBodyIsContinued(t *testing.T) {
	t.Parallel()
	data := testData(150_000)
	cuts := []int{0, 1, 1000, 65_535, 65_536, 65_537, 131_072, len(data) - 1}
	expects := map[string]*hashlib.Expect{
		"nothing": nil,
		"size":    {Size: hashlib.Size(int64(len(data)))},
		"digest":  {Digests: hashlib.SHA256Hex(sha256Of(data))},
		"both":    expectAll(data),
	}
	for _, f := range []framing{byLength, byChunks, byClose} {
		for name, expect := range expects {
			if f == byClose && (expect == nil || expect.Size == nil) {
				continue // nobody can see that cut; the digest sees it, see TestUnprovableEnd
			}
			for _, cut := range cuts {
				t.Run(fmt.Sprintf("%s, expecting %s, at %d", f, name, cut), func(t *testing.T) {
					t.Parallel()
					s := &source{data: data, tag: `"v1"`, framing: f, cuts: []int{cut}}
					checkContinued(t, s, expect, cut)
				})
			}
		}
	}
}

func checkContinued(t *testing.T, s *source, expect *hashlib.Expect, cut int) {
	t.Helper()
	srv := serve(t, s)
	var sink memory
	res, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL, Expect: expect}, &sink)
	if err != nil {
		t.Fatalf("Stream = %v", err)
	}
	if !bytes.Equal(sink.Bytes(), s.data) || res.Size != int64(len(s.data)) || res.Digests.SHA256 != sha256Of(s.data) {
		t.Fatalf("got %d bytes, size %d, sha256 %s; want %d, %s", sink.Len(), res.Size, res.Digests.SHA256,
			len(s.data), sha256Of(s.data))
	}
	if sink.resets != 0 || res.Attempts != 2 {
		t.Errorf("resets %d, attempts %d, want 0 and 2", sink.resets, res.Attempts)
	}
	want := ""
	if cut > 0 {
		want = fmt.Sprintf("bytes=%d-", cut)
	}
	if got := s.seen()[1].Header.Get("Range"); got != want {
		t.Errorf("second request has Range %q, want %q", got, want)
	}
}

func TestCutBehindTheLastByte(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	s := func() *source { return &source{data: data, tag: `"v1"`, framing: byChunks, cuts: []int{len(data)}} }
	tests := []struct {
		name     string
		expect   *hashlib.Expect
		requests int
	}{
		{"nothing known, the source confirms by 416", nil, 2},
		{"size known, the source confirms by 416", &hashlib.Expect{Size: hashlib.Size(int64(len(data)))}, 2},
		{"digest and size known, nothing to ask", expectAll(data), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := s()
			srv := serve(t, s)
			var sink memory
			_, err := newClient(t, download.Config{}).Stream(t.Context(),
				&download.Request{URL: srv.URL, Expect: tt.expect}, &sink)
			if err != nil || !bytes.Equal(sink.Bytes(), data) || sink.resets != 0 {
				t.Fatalf("Stream = %v with %d bytes, %d resets", err, sink.Len(), sink.resets)
			}
			if got := len(s.seen()); got != tt.requests {
				t.Errorf("requests = %d, want %d", got, tt.requests)
			}
		})
	}
}

func TestManyCuts(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	retries := 5
	s := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{10, 20_000, 20_001, 99_999}}
	srv := serve(t, s)
	var sink memory
	res, err := newClient(t, download.Config{MaxRetries: &retries}).Stream(t.Context(),
		&download.Request{URL: srv.URL, Expect: expectAll(data)}, &sink)
	if err != nil || res.Attempts != 5 || sink.resets != 0 || !bytes.Equal(sink.Bytes(), data) {
		t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
	}
}

func TestUnprovableEnd(t *testing.T) {
	t.Parallel()
	data := testData(10_000)
	s := &source{data: data, tag: `"v1"`, framing: byClose, cuts: []int{5000}}
	srv := serve(t, s)
	var sink memory
	req := &download.Request{URL: srv.URL, Expect: &hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(data))}}
	res, err := newClient(t, download.Config{}).Stream(t.Context(), req, &sink)
	if err != nil || res.Attempts != 2 || sink.resets != 1 || !bytes.Equal(sink.Bytes(), data) {
		t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
	}
}

// Without proof that the file is the same, a download starts over.
func TestStartOver(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	now := time.Now().UTC()
	tests := []struct {
		name   string
		source source
		ranged bool // the second request asks for the rest
	}{
		{"no validator", source{}, false},
		{"weak tag", source{tag: `W/"v1"`}, false},
		{"weak tag beside a date", source{tag: `W/"v1"`, modified: now.Add(-time.Hour).Format(http.TimeFormat)}, false},
		{"modified this second", source{modified: now.Add(time.Hour).Format(http.TimeFormat)}, false},
		{"ranges not supported", source{tag: `"v1"`, noRanges: true}, true},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.source.data, tt.source.cuts, tt.source.framing = data, []int{70_000}, byLength
			srv := serve(t, &tt.source)
			var sink memory
			res, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
			if err != nil || sink.resets != 1 || !bytes.Equal(sink.Bytes(), data) || res.Attempts != 2 {
				t.Fatalf("Stream = %+v, %v; %d bytes, %d resets", res, err, sink.Len(), sink.resets)
			}
			if got := tt.source.seen()[1].Header.Get("Range") != ""; got != tt.ranged {
				t.Errorf("second request is ranged: %v, want %v", got, tt.ranged)
			}
		})
	}
}

func TestContinueByDate(t *testing.T) {
	t.Parallel()
	modified := time.Now().UTC().Add(-time.Hour).Format(http.TimeFormat)
	s := &source{data: testData(100_000), modified: modified, framing: byLength, cuts: []int{70_000}}
	checkContinued(t, s, nil, 70_000)
	if got := s.seen()[1].Header.Get("If-Range"); got != modified {
		t.Errorf("If-Range = %q, want %q", got, modified)
	}
}

// A partial answer that is not the rest of the same file is not used.
func TestWrongPartialAnswer(t *testing.T) {
	t.Parallel()
	data := testData(10_000)
	const cut = 6000
	tests := []struct {
		name   string
		header http.Header
		body   []byte
		status int
	}{
		{"starts earlier", http.Header{"Content-Range": {"bytes 5999-9999/10000"}}, data[5999:], 206},
		{"starts later", http.Header{"Content-Range": {"bytes 6001-9999/10000"}}, data[6001:], 206},
		{"another total", http.Header{"Content-Range": {"bytes 6000-9999/20000"}}, data[cut:], 206},
		{"another tag", http.Header{"Content-Range": {"bytes 6000-9999/10000"}, "Etag": {`"v2"`}}, data[cut:], 206},
		{"no content range", http.Header{}, data[cut:], 206},
		{"nonsense", http.Header{"Content-Range": {"bytes six-ten/many"}}, data[cut:], 206},
		{"many parts", http.Header{"Content-Type": {"multipart/byteranges; boundary=x"}}, []byte("--x--"), 206},
		{"more than the total", http.Header{"Content-Range": {"bytes 6000-9999/10000"}}, append(data[cut:], 'x'), 206},
		{"no such range, a cache kept the cut body", http.Header{"Content-Range": {"bytes */6000"}}, nil, 416},
		{"ends before it is said to", http.Header{"Content-Range": {"bytes 6000-6999/10000"}}, data[cut:], 206},
		{"no such range, it shrank", http.Header{"Content-Range": {"bytes */5000"}}, nil, 416},
		{"no such range, no size", http.Header{}, nil, 416},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			whole := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{cut}}
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) != 2 {
					whole.ServeHTTP(w, r)
					return
				}
				hijacked(w, tt.status, tt.header, tt.body)
			}))
			var sink memory
			res, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
			if err != nil || !bytes.Equal(sink.Bytes(), data) || sink.resets != 1 || res.Attempts != 3 {
				t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
			}
		})
	}
}

// A source may give less of the rest than was asked for.
func TestPartialAnswerInPieces(t *testing.T) {
	t.Parallel()
	data := testData(10_000)
	whole := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{2000}}
	var requests atomic.Int32
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 2 {
			w.Header().Set("Content-Range", "bytes 2000-3999/10000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[2000:4000])
			return
		}
		whole.ServeHTTP(w, r)
	}))
	var sink memory
	res, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
	if err != nil || !bytes.Equal(sink.Bytes(), data) || sink.resets != 0 || res.Attempts != 3 {
		t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
	}
}

// What a client has read cannot be taken back: only continuing is allowed.
func TestOnce(t *testing.T) {
	t.Parallel()
	data := testData(200_000)
	other := bytes.Clone(data)
	other[len(other)-1]++
	tests := []struct {
		name   string
		source source
		expect *hashlib.Expect
		kind   pulperr.Kind // 0 for success
		atMost int          // bytes that w may have
	}{
		{"cut, same file", source{tag: `"v1"`, framing: byLength, cuts: []int{70_000}}, nil, 0, len(data)},
		{"cut, no validator", source{framing: byLength, cuts: []int{70_000}}, nil, pulperr.Unavailable, 70_000},
		{
			"cut, no ranges",
			source{tag: `"v1"`, noRanges: true, framing: byLength, cuts: []int{70_000}},
			nil,
			pulperr.Unavailable, 70_000,
		},
		{
			"wrong digest, length known",
			source{tag: `"v1"`, framing: byLength},
			&hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(other))}, pulperr.Invalid, len(data) - 1,
		},
		{
			"wrong digest, size expected",
			source{tag: `"v1"`, framing: byChunks},
			expectAll(other), pulperr.Invalid,
			len(data) - 1,
		},
		{
			"too large",
			source{tag: `"v1"`, framing: byChunks},
			&hashlib.Expect{Size: hashlib.Size(1000)},
			pulperr.Invalid, 999,
		},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.source.data = data
			srv := serve(t, &tt.source)
			var got bytes.Buffer
			_, err := newClient(t, download.Config{}).Stream(t.Context(),
				&download.Request{URL: srv.URL, Expect: tt.expect}, download.Once(&got))
			if tt.kind == 0 && (err != nil || !bytes.Equal(got.Bytes(), data)) {
				t.Fatalf("Stream = %v with %d bytes", err, got.Len())
			}
			if tt.kind != 0 {
				wantKind(t, err, tt.kind)
			}
			if !bytes.HasPrefix(data, got.Bytes()) || got.Len() > tt.atMost {
				t.Errorf("w has %d bytes, want a prefix of at most %d", got.Len(), tt.atMost)
			}
		})
	}
}

// OnHeader is a promise to a client, so even at byte 0 the same file must follow.
func TestOnHeaderThenCut(t *testing.T) {
	t.Parallel()
	data := testData(1000)
	for _, tag := range []string{`"v1"`, ""} {
		s := &source{data: data, tag: tag, framing: byLength, cuts: []int{0}}
		srv := serve(t, s)
		calls := 0
		var got bytes.Buffer
		_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{
			URL: srv.URL,
			OnHeader: func(r *http.Response) error {
				calls++
				if b, err := io.ReadAll(r.Body); len(b) > 0 || err != nil || r.ContentLength != 1000 {
					t.Errorf("OnHeader reads %d bytes, %v, length %d", len(b), err, r.ContentLength)
				}
				return nil
			},
		}, download.Once(&got))
		if tag == "" {
			wantKind(t, err, pulperr.Unavailable)
		} else if err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("Stream = %v with %d bytes", err, got.Len())
		}
		if calls != 1 {
			t.Errorf("OnHeader was called %d times, want 1", calls)
		}
	}
}

func TestOnHeaderRefuses(t *testing.T) {
	t.Parallel()
	s := &source{data: testData(1000), framing: byLength}
	srv := serve(t, s)
	refusal := errors.New("too large for me")
	var sink memory
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{
		URL: srv.URL, OnHeader: func(*http.Response) error { return refusal },
	}, &sink)
	if !errors.Is(err, refusal) || sink.Len() != 0 || len(s.seen()) != 1 {
		t.Fatalf("Stream = %v with %d bytes after %d requests", err, sink.Len(), len(s.seen()))
	}
}

// The connection itself breaks, at any byte of it, in both ways that a connection can.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	data := testData(50_000)
	upstream := serve(t, &source{data: data, tag: `"v1"`, framing: byLength})
	for _, reset := range []bool{false, true} {
		for _, at := range []int64{0, 1, 17, 100, 200, 1000, 49_000} {
			t.Run(fmt.Sprintf("at %d, reset %v", at, reset), func(t *testing.T) {
				t.Parallel()
				addr := breakFirst(t, upstream.Listener.Addr().String(), at, reset)
				var sink memory
				_, err := newClient(t, download.Config{}).Stream(t.Context(),
					&download.Request{URL: "http://" + addr, Expect: expectAll(data)}, &sink)
				if err != nil || !bytes.Equal(sink.Bytes(), data) {
					t.Fatalf("Stream = %v with %d bytes", err, sink.Len())
				}
			})
		}
	}
}

// breakFirst forwards connections to addr and breaks the first after n bytes of the answer.
func breakFirst(t *testing.T, addr string, n int64, reset bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			if i > 0 {
				go func() { _, _ = io.Copy(near, far); near.Close() }()
				continue
			}
			_, _ = io.CopyN(near, far, n)
			if reset {
				_ = near.(*net.TCPConn).SetLinger(0)
			}
			near.Close()
			far.Close()
		}
	}()
	return l.Addr().String()
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	data := testData(300_000)
	s := &source{data: data, tag: `"v1"`, framing: byLength, cuts: []int{100_000}}
	srv := httptest.NewUnstartedServer(s)
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := newClient(t, download.Config{CACert: certPEM(srv.Certificate())})
	var sink memory
	res, err := c.Stream(t.Context(), &download.Request{URL: srv.URL, Expect: expectAll(data)}, &sink)
	if err != nil || res.Attempts != 2 || sink.resets != 0 {
		t.Fatalf("Stream = %+v, %v; %d resets", res, err, sink.resets)
	}
	if got := s.seen()[0].ProtoMajor; got != 2 {
		t.Errorf("protocol = HTTP/%d, want 2", got)
	}
}
