package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Sweep removes what writers that were killed have left in the spool folder, if it was not written to for olderThan,
// and returns how many files that were. It serves the store and all its views, and lists nothing but the spool.
// Choose olderThan longer than any write may pause: a day is safe. Parts of S3 uploads that were never completed are
// not objects; let a lifecycle rule of the bucket end them.
//
// Errors: Unavailable, after removing what could be.
func (s *Store) Sweep(ctx context.Context, olderThan time.Duration) (int, error) {
	before := time.Now().Add(-olderThan)
	swept := 0
	var faults []error
	for a, err := range s.backend.list(ctx, path.Join(s.shared.prefix, spoolFolder)+"/") {
		if err != nil {
			return swept, errors.Join(append(faults, wrap(ctx, "sweep", spoolFolder, err))...)
		}
		if a.ModTime.After(before) {
			continue
		}
		switch err := s.backend.remove(ctx, a.Key); {
		case err == nil:
			swept++
		case !isMissing(err):
			faults = append(faults, wrap(ctx, "sweep", a.Key, err))
		}
	}
	return swept, errors.Join(faults...)
}

// Check proves that the store can be written and read, by a small file that it removes again.
//
// Errors: Unavailable.
func (s *Store) Check(ctx context.Context) (err error) {
	if s.fault != nil {
		return s.fault
	}
	key := s.spoolKey()
	want := []byte(uuid.NewString())
	defer func() {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		if e := s.backend.remove(cleanup, key); e != nil && !isMissing(e) {
			err = errors.Join(err, wrap(ctx, "check", key, e))
		}
	}()
	if err := s.checkWrite(ctx, key, want); err != nil {
		return wrapWrite(ctx, "check", key, err)
	}
	src, err := s.backend.open(ctx, key, 0, -1)
	if err != nil {
		return wrapWrite(ctx, "check", key, err)
	}
	got, err := io.ReadAll(src)
	if err := errors.Join(err, src.Close()); err != nil {
		return wrap(ctx, "check", key, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("storage: check %q: %w: read other bytes than were written", key, pulperr.Unavailable)
	}
	return nil
}

func (s *Store) checkWrite(ctx context.Context, key string, b []byte) error {
	w, err := s.backend.create(ctx, key, s.spoolKey(), int64(len(b)))
	if err != nil {
		return err
	}
	if _, err = w.Write(b); err == nil {
		err = w.commit(ctx, key)
	}
	if err != nil {
		return errors.Join(err, w.abort())
	}
	return nil
}
