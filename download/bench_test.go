package download_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
)

// nowhere is a sink that only counts.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Reset() error                { return nil }

func serveBench(b *testing.B, size int) (url string, expect *hashlib.Expect) {
	b.Helper()
	data := testData(size)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data)
	}))
	b.Cleanup(srv.Close)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	return srv.URL, expectAll(data)
}

func BenchmarkStream(b *testing.B) {
	only256, err := hashlib.Allow("sha256")
	if err != nil {
		b.Fatal(err)
	}
	for name, size := range map[string]int{"4KiB": 4 << 10, "64MiB": 64 << 20} {
		b.Run("raw-sha256/"+name, func(b *testing.B) {
			url, _ := serveBench(b, size)
			c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			b.Cleanup(c.CloseIdleConnections)
			for b.Loop() {
				resp, err := c.Get(url)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(sha256.New(), resp.Body); err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
		for sums, checksums := range map[string]*hashlib.Checksums{"sha256": only256, "default": hashlib.Default()} {
			b.Run("stream-"+sums+"/"+name, func(b *testing.B) {
				url, expect := serveBench(b, size)
				c := newClient(b, download.Config{Checksums: checksums})
				for b.Loop() {
					req := &download.Request{URL: url, Expect: expect}
					if _, err := c.Stream(b.Context(), req, nowhere{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkFetch(b *testing.B) {
	url, expect := serveBench(b, 4<<10)
	c := newClient(b, download.Config{})
	dir := b.TempDir()
	for b.Loop() {
		if _, err := c.Fetch(b.Context(), dir, &download.Request{URL: url, Expect: expect}); err != nil {
			b.Fatal(err)
		}
	}
}
