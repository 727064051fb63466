package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/pulpgo/pulpcore/pulperr"
)

// wrap adds its kind, the operation and the key to a backend's error.
func wrap(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if isFull(err) {
		full := pulperr.Public(pulperr.Unavailable, "the storage is full")
		return fmt.Errorf("storage: %s %q: %w: %w", op, key, full, err)
	}
	// The backend has chosen the kind, for example Invalid for an offset behind the end.
	if _, ok := errors.AsType[pulperr.Kind](err); ok {
		return fmt.Errorf("storage: %s %q: %w", op, key, err)
	}
	return fmt.Errorf("storage: %s %q: %w: %w", op, key, kindOf(ctx, err), err)
}

// wrapWrite is wrap for operations that create an object.
func wrapWrite(ctx context.Context, op, key string, err error) error {
	// An operation that creates its object can only miss the folder or the bucket. NotFound would mean the object.
	if err != nil && isMissing(err) {
		return fmt.Errorf("storage: %s %q: %w: the folder or bucket is gone: %w", op, key, pulperr.Unavailable, err)
	}
	return wrap(ctx, op, key, err)
}

func kindOf(ctx context.Context, err error) pulperr.Kind {
	switch {
	// Drivers report a canceled request with errors of their own, so the context is asked too.
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		return pulperr.Canceled
	case isMissing(err):
		return pulperr.NotFound
	// A file system may allow shorter names than keyFault does.
	case errors.Is(err, syscall.ENAMETOOLONG):
		return pulperr.Invalid
	}
	switch gcerrors.Code(err) {
	case gcerrors.InvalidArgument:
		return pulperr.Invalid
	case gcerrors.Unimplemented:
		return pulperr.Unsupported
	case gcerrors.Canceled:
		return pulperr.Canceled
	}
	return pulperr.Unavailable
}

// isMissing reports whether err means that the key has no object. A key below a key, a/b where a is a file, is missing
// too.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, pulperr.NotFound) || gcerrors.Code(err) == gcerrors.NotFound
}

// isFull reports whether err means that no more bytes fit: the disk, the quota or the largest file allowed.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		gcerrors.Code(err) == gcerrors.ResourceExhausted
}
