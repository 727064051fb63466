package storagetest_test

import (
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// A host runs the suite on a bucket of its own driver. memblob stands for the driver here.
func ExampleRun() {
	var t *testing.T // the argument of the host's TestConformance
	storagetest.Run(t, openBucket)
}

// openBucket is the Opener of the example.
func openBucket(t *testing.T, opts *storage.Options) *storage.Store {
	t.Helper()
	s, err := storage.New(blob.NewBucket(proxy{bucket: memblob.OpenBucket(nil)}), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestHostBucket runs the suite from outside of the library's packages, with exported names only.
func TestHostBucket(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, openBucket)
}

// TestHostFolder does the same in a folder, under the host's prefix.
func TestHostFolder(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		var o storage.Options
		if opts != nil {
			o = *opts
		}
		o.Prefix = "host"
		s, err := storage.Open(t.Context(), t.TempDir(), &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
