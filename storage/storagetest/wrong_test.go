package storagetest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// wrongs are backends with one fault each, and the behaviour whose test has to notice.
var wrongs = map[string]struct {
	wrap    func(driver.Bucket) driver.Bucket
	notices string
}{
	"drops the last byte": {
		func(b driver.Bucket) driver.Bucket { return truncating{b} },
		"what is put can be read",
	},
	"flips a bit": {
		func(b driver.Bucket) driver.Bucket { return flipping{b} },
		"what is put can be read",
	},
	"ignores offsets": {
		func(b driver.Bucket) driver.Bucket { return unranged{b} },
		"ranges are exact",
	},
	"cuts reads short": {
		func(b driver.Bucket) driver.Bucket { return cutting{b} },
		"what is put can be read",
	},
	"finds what is missing": {
		func(b driver.Bucket) driver.Bucket { return inventing{b} },
		"missing objects are not found",
	},
	"reports missing oddly": {
		func(b driver.Bucket) driver.Bucket { return vague{b} },
		"missing objects are not found",
	},
	"never deletes": {
		func(b driver.Bucket) driver.Bucket { return hoarding{b} },
		"random operations match a model",
	},
	"copies nothing": {
		func(b driver.Bucket) driver.Bucket { return copyless{b} },
		"temporary files become artifacts",
	},
	"moves instead of copies": {
		func(b driver.Bucket) driver.Bucket { return moving{b} },
		"temporary files become artifacts",
	},
	"commits when canceled": {
		func(b driver.Bucket) driver.Bucket { return stubborn{b} },
		"a canceled write leaves nothing",
	},
	"hides from lists": {
		func(b driver.Bucket) driver.Bucket { return hiding{b} },
		"listing is complete",
	},
	"forgets the prefix": {
		func(b driver.Bucket) driver.Bucket { return flat{b} },
		"prefixes are apart",
	},
	"cannot write": {
		func(b driver.Bucket) driver.Bucket { return readOnly{b} },
		"the store checks itself",
	},
}

const envWrong = "PULP_STORAGETEST_WRONG"

// TestSuiteNotices runs the suite on each wrong backend, in a process whose failure is the success.
func TestSuiteNotices(t *testing.T) {
	t.Parallel()
	if os.Getenv(envWrong) != "" {
		t.Skip("inside of it")
	}
	for name, wrong := range wrongs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := "^TestWrong$/^" + strings.ReplaceAll(wrong.notices, " ", "_") + "$"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", run, "-test.v", "-test.timeout", "60s")
			cmd.Env = append(os.Environ(), envWrong+"="+name)
			out, err := cmd.CombinedOutput()
			if _, ok := errors.AsType[*exec.ExitError](err); !ok || !strings.Contains(string(out), "--- FAIL: TestWrong/") {
				t.Errorf("the suite passes a backend that %s: %v\n%s", name, err, out)
			}
		})
	}
}

// TestWrong is what TestSuiteNotices runs; by itself it runs the suite on the same wrapper without a fault.
func TestWrong(t *testing.T) {
	t.Parallel()
	wrong, ok := wrongs[os.Getenv(envWrong)]
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		var d driver.Bucket = proxy{bucket: memblob.OpenBucket(nil)}
		if ok {
			d = wrong.wrap(d)
		}
		s, err := storage.New(blob.NewBucket(d), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

// TestWithoutCopy runs the suite on a service that cannot copy, which is not wrong.
func TestWithoutCopy(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
		s, err := storage.New(blob.NewBucket(unable{proxy{bucket: memblob.OpenBucket(nil)}}), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

type unable struct{ driver.Bucket }

func (unable) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errors.New("EntityTooLarge")
}

type (
	truncating struct{ driver.Bucket }
	flipping   struct{ driver.Bucket }
	unranged   struct{ driver.Bucket }
	cutting    struct{ driver.Bucket }
	inventing  struct{ driver.Bucket }
	vague      struct{ driver.Bucket }
	hoarding   struct{ driver.Bucket }
	copyless   struct{ driver.Bucket }
	moving     struct{ driver.Bucket }
	stubborn   struct{ driver.Bucket }
	hiding     struct{ driver.Bucket }
	flat       struct{ driver.Bucket }
	readOnly   struct{ driver.Bucket }
)

// changing is a writer that changes the bytes on their way.
type changing struct {
	driver.Writer
	change func([]byte) []byte
}

func (w changing) Write(p []byte) (int, error) {
	if _, err := w.Writer.Write(w.change(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (b truncating) NewTypedWriter(
	ctx context.Context, key, ct string, o *driver.WriterOptions,
) (driver.Writer, error) {
	w, err := b.Bucket.NewTypedWriter(ctx, key, ct, o)
	return changing{w, func(p []byte) []byte { return p[:max(len(p)-1, 0)] }}, err
}

func (b flipping) NewTypedWriter(ctx context.Context, key, ct string, o *driver.WriterOptions) (driver.Writer, error) {
	w, err := b.Bucket.NewTypedWriter(ctx, key, ct, o)
	return changing{w, func(p []byte) []byte {
		p = append([]byte(nil), p...)
		if len(p) > 0 {
			p[0] ^= 1
		}
		return p
	}}, err
}

func (b unranged) NewRangeReader(
	ctx context.Context, key string, _, length int64, o *driver.ReaderOptions,
) (driver.Reader, error) {
	return b.Bucket.NewRangeReader(ctx, key, 0, length, o)
}

type short struct{ driver.Reader }

func (short) Read([]byte) (int, error) { return 0, io.EOF }

func (b cutting) NewRangeReader(
	ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions,
) (driver.Reader, error) {
	r, err := b.Bucket.NewRangeReader(ctx, key, offset, length, o)
	return short{r}, err
}

func (b inventing) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if a, err := b.Bucket.Attributes(ctx, key); err == nil {
		return a, nil
	}
	return &driver.Attributes{ContentType: "a/b"}, nil
}

func (vague) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }

func (b vague) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, key)
	if err != nil {
		err = errors.New("something went wrong")
	}
	return a, err
}

func (hoarding) Delete(context.Context, string, *driver.DeleteOptions) error { return nil }

func (copyless) Copy(context.Context, string, string, *driver.CopyOptions) error { return nil }

func (b moving) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if err := b.Bucket.Copy(ctx, dst, src, o); err != nil {
		return err
	}
	return b.Delete(ctx, src, &driver.DeleteOptions{})
}

func (b stubborn) NewTypedWriter(ctx context.Context, key, ct string, o *driver.WriterOptions) (driver.Writer, error) {
	return b.Bucket.NewTypedWriter(context.WithoutCancel(ctx), key, ct, o)
}

func (b hiding) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page, err := b.Bucket.ListPaged(ctx, o)
	if err == nil && len(page.Objects) > 0 {
		page.Objects = page.Objects[1:]
	}
	return page, err
}

func (b flat) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	return b.Bucket.Attributes(ctx, key[max(strings.Index(key, "artifact"), 0):])
}

func (b flat) NewTypedWriter(ctx context.Context, key, ct string, o *driver.WriterOptions) (driver.Writer, error) {
	return b.Bucket.NewTypedWriter(ctx, key[max(strings.Index(key, "artifact"), 0):], ct, o)
}

func (readOnly) NewTypedWriter(context.Context, string, string, *driver.WriterOptions) (driver.Writer, error) {
	return nil, errors.New("read-only")
}
