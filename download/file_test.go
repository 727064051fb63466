package download_test

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

func fileURL(parts ...string) string {
	return (&url.URL{Scheme: "file", Path: filepath.Join(parts...)}).String()
}

func write(t *testing.T, data []byte, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileURL(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	imports := filepath.Join(base, "imports")
	data := testData(200_000)
	write(t, data, imports, "sub", "a b%.bin")
	write(t, nil, imports, "empty")
	write(t, data, base, "secret")
	write(t, data, base, "imports-evil", "a")
	for link, to := range map[string]string{
		"inside": "sub/a b%.bin", "outside": "../secret", "absolute": filepath.Join(base, "secret"), "dir": "..",
	} {
		if err := os.Symlink(to, filepath.Join(imports, link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		url  string
		kind pulperr.Kind // 0 for success
		want []byte
	}{
		{"regular", fileURL(imports, "sub", "a b%.bin"), 0, data},
		{"empty", fileURL(imports, "empty"), 0, nil},
		{"link inside", fileURL(imports, "inside"), 0, data},
		{"missing", fileURL(imports, "nothing"), pulperr.NotFound, nil},
		{"directory", fileURL(imports, "sub"), pulperr.Invalid, nil},
		{"link outside", fileURL(imports, "outside"), pulperr.Forbidden, nil},
		{"absolute link outside", fileURL(imports, "absolute"), pulperr.Forbidden, nil},
		{"directory link outside", fileURL(imports, "dir", "secret"), pulperr.Forbidden, nil},
		{"sibling with the same prefix", fileURL(base, "imports-evil", "a"), pulperr.Invalid, nil},
		{"dots", "file://" + imports + "/../secret", pulperr.Invalid, nil},
		{"escaped dots", "file://" + imports + "/%2e%2e/secret", pulperr.Invalid, nil},
		{"the directory itself", fileURL(imports), pulperr.Invalid, nil},
	}
	c := newClient(t, download.Config{AllowedImportPaths: []string{imports + "/"}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var sink memory
			res, err := c.Stream(t.Context(), &download.Request{URL: tt.url, Expect: expectIf(tt.want)}, &sink)
			if tt.kind != 0 {
				wantKind(t, err, tt.kind)
				if sink.Len() != 0 {
					t.Errorf("sink has %d bytes", sink.Len())
				}
				return
			}
			if err != nil || !bytes.Equal(sink.Bytes(), tt.want) || res.Size != int64(len(tt.want)) || res.URL != tt.url {
				t.Fatalf("Stream = %+v, %v with %d bytes", res, err, sink.Len())
			}
		})
	}
	var sink memory
	_, err := newClient(t, download.Config{}).Stream(t.Context(), &download.Request{URL: tests[0].url}, &sink)
	wantKind(t, err, pulperr.Invalid)
}

func expectIf(b []byte) *hashlib.Expect {
	if b == nil {
		return nil
	}
	return expectAll(b)
}

func TestFileURLChecks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := testData(100_000)
	write(t, data, dir, "a")
	c := newClient(t, download.Config{AllowedImportPaths: []string{"/", dir}})
	req := &download.Request{URL: fileURL(dir, "a"), Expect: expectAll(testData(100_001))}
	var sink memory
	_, err := c.Stream(t.Context(), req, &sink)
	wantKind(t, err, pulperr.Invalid)
	req.Expect = nil
	grow := func(change func(name string) error) error {
		sink.Buffer.Reset()
		req.OnHeader = func(r *http.Response) error {
			if r.ContentLength != int64(len(data)) || r.StatusCode != http.StatusOK {
				t.Errorf("OnHeader: %+v", r)
			}
			return change(filepath.Join(dir, "a"))
		}
		_, err := c.Stream(t.Context(), req, &sink)
		return err
	}
	wantKind(t, grow(func(name string) error { return os.Truncate(name, 50_000) }), pulperr.Conflict)
	write(t, data, dir, "a")
	wantKind(t, grow(func(name string) error { return os.Truncate(name, 200_000) }), pulperr.Conflict)
}
