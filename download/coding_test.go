package download_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func packed(t testing.TB, data []byte, make func(w io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := make(&buf)
	_, err := w.Write(data)
	if err2 := w.Close(); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return buf.Bytes()
}

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zlibbed(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }

func deflated(w io.Writer) io.WriteCloser {
	d, _ := flate.NewWriter(w, flate.DefaultCompression)
	return d
}

// encoded serves a body with a Content-Encoding that nobody asked for.
func encoded(coding string, body []byte, told bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", coding)
		w.Header().Set("ETag", `"v1"`)
		if told {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.(http.Flusher).Flush()
		_, _ = w.Write(body)
	}
}

func TestContentEncoding(t *testing.T) {
	t.Parallel()
	plain := bytes.Repeat([]byte("a line of an index\n"), 5000)
	zip := packed(t, plain, gzipped)
	digest := func(b []byte) *hashlib.Expect { return &hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of(b))} }
	size := func(b []byte) *hashlib.Expect { return &hashlib.Expect{Size: hashlib.Size(int64(len(b)))} }
	tests := []struct {
		name, coding string
		sent         []byte
		expect       *hashlib.Expect
		want         []byte
		decoded      bool
	}{
		{"nothing expected", "gzip", zip, nil, plain, true},
		{"expectation without content", "gzip", zip, &hashlib.Expect{}, plain, true},
		{"old name", "X-GZIP", zip, nil, plain, true},
		{"deflate", "deflate", packed(t, plain, zlibbed), nil, plain, true},
		{"deflate without header", "deflate", packed(t, plain, deflated), nil, plain, true},
		{"digest of the decoded", "gzip", zip, digest(plain), plain, true},
		{"size of the decoded", "gzip", zip, size(plain), plain, true},
		{"both of the decoded", "gzip", zip, expectAll(plain), plain, true},
		{"digest of the encoded", "gzip", zip, digest(zip), zip, false},
		{"size of the encoded", "gzip", zip, size(zip), zip, false},
		{"both of the encoded", "gzip", zip, expectAll(zip), zip, false},
		{"empty", "gzip", nil, nil, nil, true},
		{"none", "identity", plain, nil, plain, false},
		{"unknown", "br", zip, nil, zip, false},
	}
	for _, tt := range tests {
		for _, told := range []bool{true, false} {
			if !told && tt.sent == nil {
				continue // an empty body of chunks is no gzip
			}
			t.Run(tt.name+", told "+strconv.FormatBool(told), func(t *testing.T) {
				t.Parallel()
				none := 0
				srv := serve(t, encoded(tt.coding, tt.sent, told))
				var sink memory
				res, err := newClient(t, download.Config{MaxRetries: &none}).Stream(t.Context(),
					&download.Request{URL: srv.URL, Expect: tt.expect}, &sink)
				if err != nil || !bytes.Equal(sink.Bytes(), tt.want) || res.Size != int64(len(tt.want)) {
					t.Fatalf("Stream = %+v, %v; %d bytes", res, err, sink.Len())
				}
				if res.Decoded != tt.decoded || (res.Encoding == "") != (tt.coding == "identity") {
					t.Errorf("result = %+v, want decoded %v", res, tt.decoded)
				}
			})
		}
	}
}

// A body that is cut or damaged inside of its encoding is not the file.
func TestBrokenEncoding(t *testing.T) {
	t.Parallel()
	plain := testData(100_000)
	zip, raw := packed(t, plain, gzipped), packed(t, plain, zlibbed)
	damaged := bytes.Clone(zip)
	damaged[len(damaged)-6]++ // in its checksum
	for _, tt := range []struct {
		name, coding string
		sent         []byte
	}{
		{"cut", "gzip", zip[:50_000]},
		{"cut before the checksum", "gzip", zip[:len(zip)-8]},
		{"wrong checksum", "gzip", damaged},
		{"not gzip at all", "gzip", plain},
		{"bytes behind gzip", "gzip", append(bytes.Clone(zip), "more"...)},
		{"bytes behind zlib", "deflate", append(bytes.Clone(raw), "more"...)},
		{"cut zlib", "deflate", raw[:50_000]},
		{"nothing", "deflate", []byte{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, encoded(tt.coding, tt.sent, false))
			_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &memory{})
			wantKind(t, err, pulperr.Unavailable)
		})
	}
}

// A cut encoded body starts over: there is no range of decoded bytes to ask for.
func TestCutEncodedBody(t *testing.T) {
	t.Parallel()
	plain := testData(100_000)
	zip := packed(t, plain, gzipped)
	s := &source{data: zip, tag: `"v1"`, framing: byLength, cuts: []int{70_000}}
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		s.ServeHTTP(w, r)
	}))
	var sink memory
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: srv.URL}, &sink)
	if err != nil || !bytes.Equal(sink.Bytes(), plain) || sink.resets != 1 || s.seen()[1].Header.Get("Range") != "" {
		t.Errorf("Stream = %v with %d bytes, %d resets", err, sink.Len(), sink.resets)
	}
}

func TestDecompressionBomb(t *testing.T) {
	t.Parallel()
	bomb := packed(t, make([]byte, 24<<20), gzipped)
	srv := serve(t, encoded("gzip", bomb, true))
	for name, req := range map[string]*download.Request{
		"nothing known": {},
		"digest known":  {Expect: &hashlib.Expect{Digests: hashlib.SHA256Hex(sha256Of([]byte("x")))}},
		"bounded":       {MaxSize: 1 << 20},
	} {
		req.URL = srv.URL
		var sink memory
		_, err := newClient(t, download.Config{}).Stream(t.Context(), req, &sink)
		wantKind(t, err, pulperr.TooLarge)
		if sink.Len() > 32<<20 {
			t.Errorf("%s: the sink got %d bytes", name, sink.Len())
		}
	}
}
