package content_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// Whatever the bytes come from, ranges are answered alike.
func TestRanges(t *testing.T) {
	t.Parallel()
	text := body(large)
	etag := `"` + sum(text) + `"`
	tests := []struct {
		name, header, ifRange string
		status                int
		from, to              int // of the text, to exclusive
	}{
		{"first bytes", "bytes=0-9", "", 206, 0, 10},
		{"one byte", "bytes=0-0", "", 206, 0, 1},
		{"the middle", "bytes=1000-100999", "", 206, 1000, 101000},
		{"less than one block", "bytes=0-99", "", 206, 0, 100},
		{"from a place on", fmt.Sprintf("bytes=%d-", large-5), "", 206, large - 5, large},
		{"the last bytes", "bytes=-500", "", 206, large - 500, large},
		{"more last bytes than there are", "bytes=-99999999", "", 206, 0, large},
		{"an end behind the end", fmt.Sprintf("bytes=10-%d", large*2), "", 206, 10, large},
		{"all", "bytes=0-", "", 206, 0, large},
		{"behind the end", fmt.Sprintf("bytes=%d-", large), "", 416, 0, 0},
		{"no last bytes", "bytes=-0", "", 416, 0, 0},
		{"backwards", "bytes=10-1", "", 416, 0, 0},
		{"nonsense", "bytes=a-b", "", 416, 0, 0},
		{"nonsense beside a range", "bytes=0-9,a-b", "", 416, 0, 0},
		{"a sign", "bytes=+1-2", "", 416, 0, 0},
		{"two signs", "bytes=--1", "", 416, 0, 0},
		{"no dash", "bytes=5", "", 416, 0, 0},
		{"only a dash", "bytes=-", "", 416, 0, 0},
		{"an end behind all numbers", "bytes=10-18446744073709551616", "", 206, 10, large},
		{"more last bytes than there are numbers", "bytes=-18446744073709551616", "", 206, 0, large},
		{"behind all numbers", "bytes=18446744073709551616-", "", 416, 0, 0},
		{"no last bytes beside a range", "bytes=-0,5-9", "", 206, 5, 10},
		{"behind the end beside a range", "bytes=18446744073709551616-,5-9", "", 206, 5, 10},
		{"capitals", "BYTES=0-9", "", 206, 0, 10},
		{"blanks and commas", "bytes=, 0-9\t, ,", "", 206, 0, 10},
		{"nothing", "bytes=", "", 200, 0, large},
		{"another unit", "lines=1-2", "", 200, 0, large},
		{"another unit without a number", "lines=18446744073709551616", "", 200, 0, large},
		{"no unit", "0-9", "", 200, 0, large},
		{"no range", "", "", 200, 0, large},
		{"of this version", "bytes=0-9", etag, 206, 0, 10},
		{"of another version", "bytes=0-9", `"other"`, 200, 0, large},
		{"of a weak version", "bytes=0-9", "W/" + etag, 200, 0, large},
		{"far too many", "bytes=" + strings.Repeat("0-0,", 1000) + "1-1", "", 200, 0, large},
	}
	for _, source := range []string{"memory", "folder", "on_demand", "streamed", "on_demand, length unknown"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			shared := rangeSite(t, source, text)
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					s := shared
					if strings.HasPrefix(source, "on_demand") { // the first request changes where the bytes are
						t.Parallel()
						s = rangeSite(t, source, text)
					}
					header := []string{"Range", tt.header}
					if tt.ifRange != "" {
						header = append(header, "If-Range", tt.ifRange)
					}
					got := s.get("/pulp/content/x/f", header...)
					if got.StatusCode != tt.status {
						t.Fatalf("Range: %s = %d, want %d", tt.header, got.StatusCode, tt.status)
					}
					if tt.status == 416 {
						if h := got.Header.Get("Content-Range"); h != fmt.Sprintf("bytes */%d", large) {
							t.Errorf("Content-Range = %q", h)
						}
						return
					}
					if got.err != nil || got.body != text[tt.from:tt.to] {
						t.Errorf("Range: %s = %d bytes, %v; want %d", tt.header, len(got.body), got.err, tt.to-tt.from)
					}
					want := ""
					if tt.status == 206 {
						want = fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, large)
					}
					if h := got.Header.Get("Content-Range"); h != want {
						t.Errorf("Content-Range = %q, want %q", h, want)
					}
				})
			}
			t.Run("two parts", func(t *testing.T) {
				t.Parallel()
				s := rangeSite(t, source, text)
				got := s.get("/pulp/content/x/f", "Range", "bytes=5-9,-7")
				kind, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
				if err != nil || got.StatusCode != 206 || kind != "multipart/byteranges" {
					t.Fatalf("GET = %d, %q, %v", got.StatusCode, kind, err)
				}
				parts := multipart.NewReader(strings.NewReader(got.body), params["boundary"])
				for _, want := range []string{text[5:10], text[large-7:]} {
					p, err := parts.NextPart()
					s.must(err)
					if b, err := io.ReadAll(p); err != nil || string(b) != want {
						t.Errorf("part = %q, %v; want %q", b, err, want)
					}
				}
			})
		})
	}
}

// rangeSite serves a text at /pulp/content/x/f from one kind of place.
func rangeSite(t *testing.T, source, text string) *site {
	t.Helper()
	o := &siteOptions{}
	if source == "folder" {
		o.store = t.TempDir()
	}
	s := newSite(t, sqlite(t), o)
	switch source {
	case "memory", "folder":
		s.distribute("x", s.tree("f", text))
	case "on_demand, length unknown":
		e := promise(text)
		e.Size = nil
		s.absent(models.OnDemand, newUpstream(t, sends(text, false)).URL, e)
	default:
		s.absent(models.Policy(source), newUpstream(t, sends(text, true)).URL, promise(text))
	}
	return s
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	s.distribute("x", s.tree("f", "text"))
	etag := `"` + sum("text") + `"`
	modified := s.get("/pulp/content/x/f").Header.Get("Last-Modified")
	for _, tt := range []struct {
		header, value string
		status        int
	}{
		{"If-None-Match", etag, 304},
		{"If-None-Match", `"other", W/` + etag, 304},
		{"If-None-Match", `"other"`, 200},
		{"If-None-Match", "*", 304},
		{"If-Match", etag, 200},
		{"If-Match", `"other"`, 412},
		{"If-Modified-Since", modified, 304},
		{"If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", 200},
		{"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", 412},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := s.do(method, "/pulp/content/x/f", tt.header, tt.value)
			if got.StatusCode != tt.status {
				t.Errorf("%s with %s: %s = %d, want %d", method, tt.header, tt.value, got.StatusCode, tt.status)
			}
			if tt.status == 304 && got.Header.Get("Etag") != etag {
				t.Errorf("%s with %s: %s: ETag %q", method, tt.header, tt.value, got.Header.Get("Etag"))
			}
		}
	}
}

// An empty file is answered as a whole, whatever range is asked for: no Content-Range can name a part of it.
func TestRangesOfNothing(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"memory", "folder", "on_demand", "streamed", "on_demand, length unknown"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				s := rangeSite(t, source, "")
				for _, header := range []string{"bytes=-1", "bytes=-500", "bytes=0-0,-1", "bytes=0-", "bytes=0-0", "bytes=-0", "bytes=1-"} {
					got := s.do(method, "/pulp/content/x/f", "Range", header)
					if got.StatusCode != http.StatusOK || got.Header.Get("Content-Range") != "" || got.body != "" || got.err != nil {
						t.Errorf("%s with Range: %s = %d %q, %v", method, header, got.StatusCode, got.Header.Get("Content-Range"), got.err)
					}
				}
			}
		})
	}
}
