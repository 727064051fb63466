package download_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in                string
		start, end, total int64
		ok                bool
	}{
		{"bytes 0-9/100", 0, 9, 100, true},
		{"Bytes 5-9/10", 5, 9, 10, true},
		{"bytes 5-9/*", 5, 9, -1, true},
		{"bytes */100", -1, -1, 100, true},
		{"bytes */0", -1, -1, 0, true},
		{"bytes */*", -1, -1, -1, false},
		{"bytes 9-5/100", -1, -1, -1, false},
		{"bytes 0-10/10", -1, -1, -1, false},
		{"bytes -5/10", -1, -1, -1, false},
		{"bytes 5-/10", -1, -1, -1, false},
		{"bytes +1-5/10", -1, -1, -1, false},
		{"bytes 0-9", -1, -1, -1, false},
		{"bytes=0-9/10", -1, -1, -1, false},
		{"items 0-9/10", -1, -1, -1, false},
		{"bytes 0-9/99999999999999999999", -1, -1, -1, false},
		{"", -1, -1, -1, false},
	}
	for _, tt := range tests {
		start, end, total, ok := download.ParseContentRange(tt.in)
		if start != tt.start || end != tt.end || total != tt.total || ok != tt.ok {
			t.Errorf("parseContentRange(%q) = %d, %d, %d, %v", tt.in, start, end, total, ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{
		"bytes 0-9/100", "bytes */100", "bytes 5-9/*", "bytes 9-5/3", "bytes 0-9223372036854775807/*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		start, end, total, ok := download.ParseContentRange(in)
		if !ok {
			if start != -1 || end != -1 || total != -1 {
				t.Fatalf("%q: refused, but %d-%d/%d", in, start, end, total)
			}
			return
		}
		size := "*"
		if total >= 0 {
			size = fmt.Sprint(total)
		}
		again := fmt.Sprintf("bytes %d-%d/%s", start, end, size)
		switch {
		case start == -1 && end == -1 && total >= 0:
			again = "bytes */" + size
		case start < 0 || end < start || total >= 0 && end >= total:
			t.Fatalf("%q: accepted %d-%d/%d", in, start, end, total)
		}
		if s, e, n, ok := download.ParseContentRange(again); !ok || s != start || e != end || n != total {
			t.Fatalf("%q reads %d-%d/%d; %q does not", in, start, end, total, again)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "60": time.Minute, "61": time.Minute,
		"99999999999999999999": time.Minute, "": 0, "-1": 0, "1.5": 0, "soon": 0,
		now.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):      0,
		now.Add(time.Hour).Format(http.TimeFormat):       time.Minute,
	} {
		if got := download.ParseRetryAfter(in, now); got != want {
			t.Errorf("parseRetryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{"7", "Fri, 02 Jan 2026 03:04:09 GMT", "Friday, 02-Jan-26 03:04:09 GMT", "-1", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if got := download.ParseRetryAfter(in, now); got < 0 || got > time.Minute {
			t.Fatalf("parseRetryAfter(%q) = %v, want 0 to 1m", in, got)
		}
	})
}

// A URL never makes a name that leaves the directory, and an accepted file URL never leaves the allowed one.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"http://h/a", "file:///mnt/imports/../x", "file:///mnt/imports/%2e%2e/x", "http://u:p@h/", "file:///mnt/importsx",
		"http://h/%00", "http://h/a%2F..",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name := download.FileName(in)
		if len(name) > 255 || !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\\x00") {
			t.Fatalf("%q is stored as %q", in, name)
		}
		err := download.CheckURL(in, []string{"/mnt/imports"})
		if err != nil {
			if _, ok := errors.AsType[*pulperr.ValidationError](err); !ok {
				t.Fatalf("CheckURL(%q) = %v", in, err)
			}
			return
		}
		u, err := url.Parse(in)
		if err != nil || u.User != nil {
			t.Fatalf("CheckURL accepts %q", in)
		}
		if u.Scheme == "file" && !strings.HasPrefix(filepath.Clean(u.Path), "/mnt/imports/") {
			t.Fatalf("CheckURL accepts %q", in)
		}
	})
}
