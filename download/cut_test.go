package download_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Whatever a source says after a cut, the beginning of a file is never taken for the file. Nothing is expected: the
// source's word is all there is.
func TestCutIsNeverWhole(t *testing.T) {
	t.Parallel()
	data := testData(100)
	tests := []struct {
		name   string
		length string // of the first answer; "" sends chunks
		status int
		header http.Header
		body   []byte
	}{
		{"416 with the size of the cut body", "100", 416, http.Header{"Content-Range": {"bytes */50"}}, nil},
		{"416 with another tag", "", 416, http.Header{"Content-Range": {"bytes */50"}, "Etag": {`"b"`}}, nil},
		{"206 with the size of less", "100", 206, http.Header{"Content-Range": {"bytes 50-59/60"}}, data[50:60]},
		{"206 of unknown size to its end", "", 206, http.Header{"Content-Range": {"bytes 50-59/*"}}, data[50:60]},
		{"206 of unknown size beyond its end", "", 206, http.Header{"Content-Range": {"bytes 50-59/*"}}, data[50:]},
		{"206 of unknown size before its end", "", 206, http.Header{"Content-Range": {"bytes 50-99/*"}}, data[50:60]},
		{"206 of a file that is too short", "100", 206, http.Header{"Content-Range": {"bytes 50-120/*"}}, data[50:]},
		{"206 with another time", "100", 206, http.Header{
			"Content-Range": {"bytes 50-99/100"}, "Last-Modified": {"Mon, 02 Jan 2006 15:04:06 GMT"},
		}, data[50:]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					hijacked(w, tt.status, tt.header, tt.body)
					return
				}
				if tt.header.Get("Last-Modified") == "" {
					w.Header().Set("ETag", `"a"`)
				} else {
					w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				}
				if tt.length != "" {
					w.Header().Set("Content-Length", tt.length)
				}
				_, _ = w.Write(data[:50])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))
			var sink memory
			res, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
			if err == nil {
				t.Fatalf("Stream took %d of 100 bytes for the whole file", res.Size)
			}
			wantKind(t, err, pulperr.Unavailable)
		})
	}
}

// A file of unknown size that comes in parts is whole when the source says that nothing follows, or a digest shows it.
func TestPartsOfUnknownSize(t *testing.T) {
	t.Parallel()
	data := testData(100)
	for _, expect := range []*hashlib.Expect{nil, {Digests: hashlib.SHA256Hex(sha256Of(data))}, expectAll(data)} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"a"`)
			start := 0
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); err != nil {
				_, _ = w.Write(data[:30])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			if start == len(data) {
				w.Header().Set("Content-Range", "bytes */100")
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			end := min(start+50, len(data))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", start, end-1))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[start:end])
		}))
		var sink memory
		_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL, Expect: expect}, &sink)
		if err != nil || !bytes.Equal(sink.Bytes(), data) || sink.resets != 0 {
			t.Errorf("Stream expecting %+v = %v with %d bytes, %d resets", expect, err, sink.Len(), sink.resets)
		}
	}
}

// Every attempt brings the file forward, and it needs more of them than may fail in a row.
func TestProgressIsForgiven(t *testing.T) {
	t.Parallel()
	data := testData(600)
	for _, tt := range []struct {
		name string
		step int
		tag  string
		ok   bool
	}{{"in steps", 100, `"a"`, true}, {"in tiny steps", 1, `"a"`, false}, {"from the start each time", 100, "", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &source{data: data, tag: tt.tag, framing: byLength}
			for at := tt.step; at < len(data); at += tt.step {
				s.cuts = append(s.cuts, at)
			}
			if tt.tag == "" {
				s.cuts = []int{1, 100, 200, 300, 400, 500}
			}
			srv := serve(t, s)
			var sink memory
			_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
			if tt.ok != (err == nil) || tt.ok && !bytes.Equal(sink.Bytes(), data) {
				t.Errorf("Stream = %v with %d bytes", err, sink.Len())
			}
		})
	}
}

func TestKeepTrying(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	asked := 0
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{
		URL: srv.URL, KeepTrying: func(err error) bool { asked++; return asked < 2 && err != nil },
	}, &memory{})
	wantKind(t, err, pulperr.Unavailable)
	if asked != 2 || requests.Load() != 2 {
		t.Errorf("asked %d times, %d requests; want 2 and 2", asked, requests.Load())
	}
}

func TestMaxWait(t *testing.T) {
	t.Parallel()
	hold, begun := make(chan struct{}), make(chan struct{})
	srv := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-hold }))
	c := newClient(t, download.Config{Concurrency: 1})
	done := make(chan error)
	go func() {
		_, err := c.Stream(t.Context(), &download.Request{URL: srv.URL}, &memory{})
		done <- err
	}()
	<-begun
	_, err := c.Stream(t.Context(), &download.Request{URL: srv.URL, MaxWait: time.Millisecond}, &memory{})
	wantKind(t, err, pulperr.Unavailable)
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("the first download = %v", err)
	}
}

// The text for clients names the file and both values.
func TestMismatchNamesTheFile(t *testing.T) {
	t.Parallel()
	data, other := testData(10), testData(11)
	srv := serve(t, &source{data: data, framing: byLength})
	url := srv.URL + "/pool/a.bin?token=secret"
	shown := srv.URL + "/pool/a.bin?token=…: "
	for _, tt := range []struct {
		expect     *hashlib.Expect
		code, text string
	}{
		{&hashlib.Expect{Size: hashlib.Size(11)}, "PLP0004", "size is 10 bytes, expected 11"},
		{
			&hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(other))}, "PLP0003",
			"sha256 digest is " + sha256Of(data) + ", expected " + sha256Of(other),
		},
	} {
		for _, retries := range []int{0, 1} {
			c := newClient(t, download.Config{MaxRetries: &retries})
			_, err := c.Stream(t.Context(), &download.Request{URL: url, Expect: tt.expect}, &memory{})
			wantKind(t, err, pulperr.Invalid)
			if got := pulperr.Message(err); got != shown+tt.text || pulperr.Code(err) != tt.code {
				t.Errorf("message %q, code %q; want %q, %q", got, pulperr.Code(err), shown+tt.text, tt.code)
			}
		}
	}
}
