package storage_test

import (
	"context"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/s3storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// envS3 names the s3:// URL of a real S3 service for the tests; credentials come from AWS_*.
const envS3 = "PULP_TEST_S3_URL"

func TestMain(m *testing.M) {
	child()
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), // idle connections of S3 clients
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestFolder(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, openFolder)
}

func TestFolderRelaxed(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		o := orZero(opts)
		o.Relaxed = true
		return openFolder(t, &o)
	})
}

func TestFolderInPrefix(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		o := orZero(opts)
		o.Prefix = "team/pulp"
		return openFolder(t, &o)
	})
}

func TestMemory(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store { return open(t, "mem://", opts) })
}

func TestFakeS3(t *testing.T) {
	setS3Credentials(t)
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		return open(t, fakeS3(t), withS3(opts))
	})
}

func TestRealS3(t *testing.T) {
	rawURL := os.Getenv(envS3)
	if rawURL == "" {
		t.Skipf("NOT TESTED on a real S3 service: set %s=s3://bucket?… and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", envS3)
	}
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		o := withS3(opts)
		o.Prefix = "test-" + uuid.NewString()
		cleaner := open(t, rawURL, withS3(&storage.Options{Prefix: o.Prefix})) // a test may close the other one
		t.Cleanup(func() { empty(t, cleaner) })
		return open(t, rawURL, o)
	})
}

// open opens a store for the time of the test.
func open(tb testing.TB, rawURL string, opts *storage.Options) *storage.Store {
	tb.Helper()
	s, err := storage.Open(tb.Context(), rawURL, opts)
	if err != nil {
		tb.Fatalf("Open(%q) = %v", rawURL, err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close = %v", err)
		}
	})
	return s
}

func openFolder(t *testing.T, opts *storage.Options) *storage.Store {
	t.Helper()
	return open(t, t.TempDir(), opts)
}

// setS3Credentials gives the test made-up credentials, which gofakes3 does not check.
func setS3Credentials(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
}

// fakeS3 starts an S3 service in this process and returns the URL of an empty bucket.
func fakeS3(t *testing.T) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("pulp"); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(srv.Close)
	q := url.Values{
		"endpoint": {srv.URL}, "region": {"us-east-1"}, "use_path_style": {"true"},
		"request_checksum_calculation": {"when_required"}, "response_checksum_validation": {"when_required"},
	}
	return "s3://pulp?" + q.Encode()
}

// empty removes what a test has put in s. The test's own context is over by then.
func empty(tb testing.TB, s *storage.Store) {
	ctx := context.Background()
	for a, err := range s.List(ctx, "") {
		if err != nil {
			tb.Errorf("List = %v", err)
			return
		}
		if err := s.Delete(ctx, a.Key); err != nil {
			tb.Errorf("Delete = %v", err)
		}
	}
}

func withS3(opts *storage.Options) *storage.Options {
	o := orZero(opts)
	o.BeforeSign = s3storage.BeforeSign
	return &o
}

func orZero(opts *storage.Options) storage.Options {
	if opts == nil {
		return storage.Options{}
	}
	return *opts
}
