package storagetest_test

import (
	"context"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// proxy is a gocloud driver that passes everything on to a bucket, for others to embed and to spoil. It is complete
// for what package storage uses.
type proxy struct{ bucket *blob.Bucket }

func (p proxy) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (p proxy) As(i any) bool                          { return p.bucket.As(i) }
func (p proxy) ErrorAs(err error, i any) bool          { return p.bucket.ErrorAs(err, i) }
func (p proxy) Close() error                           { return p.bucket.Close() }

func (p proxy) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := p.bucket.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size}, nil
}

func (p proxy) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page := &driver.ListPage{}
	it := p.bucket.List(&blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
	for {
		obj, err := it.Next(ctx)
		if err == io.EOF { //nolint:errorlint // documented as bare
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: obj.Key, ModTime: obj.ModTime, Size: obj.Size})
	}
}

func (p proxy) NewRangeReader(
	ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions,
) (driver.Reader, error) {
	r, err := p.bucket.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	return reader{r}, nil
}

type reader struct{ *blob.Reader }

func (r reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (p proxy) NewTypedWriter(
	ctx context.Context, key, contentType string, _ *driver.WriterOptions,
) (driver.Writer, error) {
	return p.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType})
}

func (p proxy) Copy(ctx context.Context, dst, src string, _ *driver.CopyOptions) error {
	return p.bucket.Copy(ctx, dst, src, nil)
}

func (p proxy) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return p.bucket.Delete(ctx, key)
}

func (p proxy) SignedURL(ctx context.Context, key string, o *driver.SignedURLOptions) (string, error) {
	return p.bucket.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: o.Expiry, Method: o.Method})
}
