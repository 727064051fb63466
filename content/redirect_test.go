package content_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/s3storage"
)

// fakeS3 starts an S3 service in this process and returns the URL of an empty bucket.
func fakeS3(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("pulp"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return "s3://pulp?" + url.Values{
		"endpoint": {server.URL}, "region": {"us-east-1"}, "use_path_style": {"true"},
		"request_checksum_calculation": {"when_required"}, "response_checksum_validation": {"when_required"},
	}.Encode()
}

func TestRedirectToObjectStorage(t *testing.T) {
	for _, dressed := range []bool{true, false} {
		o := &siteOptions{store: fakeS3(t), storeOpt: &storage.Options{}}
		if dressed {
			o.storeOpt.BeforeSign = s3storage.BeforeSign
		}
		s := newSite(t, sqlite(t), o)
		s.distribute("x", s.tree("dir/ü b.tar.gz", "0123456789"))
		got := s.get("/pulp/content/x/dir/%C3%BC%20b.tar.gz")
		if got.StatusCode != 302 || got.Header.Get("X-PULP-ARTIFACT-SIZE") != "10" {
			t.Fatalf("GET = %d, %v", got.StatusCode, got.Header)
		}
		policies := got.Header["Content-Security-Policy"]
		if !slices.Contains(policies, "sandbox allow-downloads") || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET = %v, want a sandbox", got.Header)
		}
		to, err := url.Parse(got.Header.Get("Location"))
		s.must(err)
		wantName, wantType := "", ""
		if dressed {
			wantName, wantType = "attachment; filename*=utf-8''%C3%BC%20b.tar.gz", "application/gzip"
		}
		if q := to.Query(); q.Get("response-content-disposition") != wantName || q.Get("response-content-type") != wantType {
			t.Errorf("Location = %s", to)
		}
		resp, err := http.Get(to.String())
		s.must(err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "0123456789" {
			t.Errorf("GET of the signed URL = %d %q, %v", resp.StatusCode, b, err)
		}
		head := s.do(http.MethodHead, "/pulp/content/x/dir/%C3%BC%20b.tar.gz")
		if head.StatusCode != 200 || head.ContentLength != 10 {
			t.Errorf("HEAD = %d, Content-Length %d", head.StatusCode, head.ContentLength)
		}
	}
}

func TestThroughFromObjectStorage(t *testing.T) {
	o := &siteOptions{store: fakeS3(t)}
	o.RedirectToObjectStorage = new(false)
	s := newSite(t, sqlite(t), o)
	text := body(large)
	u := newUpstream(t, sends(text, true))
	s.absent(models.OnDemand, u.URL, promise(text))
	for range 2 {
		if got := s.get("/pulp/content/x/f"); got.StatusCode != 200 || got.body != text {
			t.Errorf("GET = %d, %d bytes", got.StatusCode, len(got.body))
		}
	}
	if got := s.get("/pulp/content/x/f", "Range", "bytes=-5"); got.StatusCode != 206 || got.body != text[large-5:] {
		t.Errorf("GET of a range = %d %q", got.StatusCode, got.body)
	}
	if n := u.requests.Load(); n != 1 {
		t.Errorf("%d upstream requests, want 1", n)
	}
}
