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

// spool is the folder for bytes on their way to a key, one for the store and all its views.
type spool struct {
	backend backend
	folder  string // full key
}

// key returns a fresh full key in the folder.
func (s spool) key() string { return path.Join(s.folder, uuid.NewString()) }

// sweep removes the files that were last written before a time, and returns how many that were.
func (s spool) sweep(ctx context.Context, before time.Time) (int, error) {
	swept := 0
	var faults []error
	for a, err := range s.backend.list(ctx, slashed(s.folder)) {
		if err != nil {
			return swept, errors.Join(append(faults, wrap(ctx, "sweep", spoolFolder, err))...)
		}
		// A younger file may belong to a write that is still running.
		if a.ModTime.After(before) {
			continue
		}
		switch err := s.backend.remove(ctx, a.Key); {
		case err == nil:
			swept++
		case !isMissing(err): // a missing file was removed by another process that sweeps
			// One file that cannot be removed must not stop the removal of the others.
			faults = append(faults, wrap(ctx, "sweep", a.Key, err))
		}
	}
	return swept, errors.Join(faults...)
}

// check writes a small file, reads it and removes it.
func (s spool) check(ctx context.Context) (err error) {
	key := s.key()
	want := []byte(uuid.NewString())
	defer func() {
		// Also after ctx was canceled; a canceled check would leave its file to the sweep.
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		if e := s.backend.remove(cleanup, key); e != nil && !isMissing(e) {
			err = errors.Join(err, wrap(ctx, "check", key, e))
		}
	}()
	if err := s.write(ctx, key, want); err != nil {
		return wrapWrite(ctx, "check", key, err)
	}
	src, err := s.backend.open(ctx, key, 0, -1)
	if err != nil {
		// The file was just written, so a missing one is a fault of the backend.
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

func (s spool) write(ctx context.Context, key string, b []byte) error {
	w, err := s.backend.create(ctx, key, s.key(), int64(len(b)))
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
