package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"

	"github.com/pulpgo/pulpcore/pulperr"
)

// bucketBackend is the backend in a gocloud bucket, whose writes are atomic by themselves.
type bucketBackend struct {
	bucket     *blob.Bucket
	beforeSign func(func(any) bool, SignOptions) error
	intercept  func(context.Context, Op, string) error
}

func newBucketBackend(b *blob.Bucket, o Options) *bucketBackend {
	return &bucketBackend{bucket: b, beforeSign: o.BeforeSign, intercept: o.Intercept}
}

func (b *bucketBackend) open(ctx context.Context, key string, offset, length int64) (source, error) {
	if err := b.intercept(ctx, OpOpen, key); err != nil {
		return source{}, err
	}
	r, err := b.bucket.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		// openEnd costs one more request, which can only help if the range is at fault.
		if isMissing(err) || ctx.Err() != nil || offset == 0 && length < 0 {
			return source{}, err
		}
		return b.openEnd(ctx, key, offset, length, err)
	}
	n, err := clip(r.Size(), offset, length)
	if err != nil {
		return source{}, errors.Join(err, r.Close())
	}
	return source{ReadSeekCloser: r, size: r.Size(), length: n, modTime: r.ModTime()}, nil
}

// openEnd finds out why a range could not be opened.
func (b *bucketBackend) openEnd(ctx context.Context, key string, offset, length int64, err error) (source, error) {
	// Services refuse a range that contains no byte, each with another error. Only the size of the object shows whether
	// that was the reason.
	a, e := b.bucket.Attributes(ctx, key)
	if e != nil {
		return source{}, errors.Join(err, e)
	}
	n, e := clip(a.Size, offset, length)
	switch {
	case e != nil:
		return source{}, e
	case n > 0:
		return source{}, err
	}
	return source{ReadSeekCloser: nothing{}, size: a.Size, modTime: a.ModTime}, nil
}

// nothing reads an empty part of an object.
type nothing struct{}

func (nothing) Read([]byte) (int, error)       { return 0, io.EOF }
func (nothing) Seek(int64, int) (int64, error) { return 0, nil }
func (nothing) Close() error                   { return nil }

func (b *bucketBackend) stat(ctx context.Context, key string) (Attributes, error) {
	if err := b.intercept(ctx, OpStat, key); err != nil {
		return Attributes{}, err
	}
	a, err := b.bucket.Attributes(ctx, key)
	if err != nil {
		return Attributes{}, err
	}
	return Attributes{Key: key, Size: a.Size, ModTime: a.ModTime}, nil
}

func (b *bucketBackend) remove(ctx context.Context, key string) error {
	if err := b.intercept(ctx, OpDelete, key); err != nil {
		return err
	}
	return b.bucket.Delete(ctx, key)
}

func (b *bucketBackend) list(ctx context.Context, prefix string) iter.Seq2[Attributes, error] {
	return func(yield func(Attributes, error) bool) {
		if err := b.intercept(ctx, OpList, prefix); err != nil {
			yield(Attributes{}, err)
			return
		}
		it := b.bucket.List(&blob.ListOptions{Prefix: prefix})
		for {
			o, err := it.Next(ctx)
			if err == io.EOF { //nolint:errorlint // documented as bare
				return
			}
			if err != nil {
				yield(Attributes{}, err)
				return
			}
			if !yield(Attributes{Key: o.Key, Size: o.Size, ModTime: o.ModTime}, nil) {
				return
			}
		}
	}
}

func (b *bucketBackend) close() error { return b.bucket.Close() }

// clip returns how many of length bytes (-1: all) from offset on an object of size bytes has.
func clip(size, offset, length int64) (int64, error) {
	if offset > size {
		return 0, fmt.Errorf("%w: offset %d is behind the end at %d", pulperr.Invalid, offset, size)
	}
	if length < 0 || length > size-offset {
		return size - offset, nil
	}
	return length, nil
}
