package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// testFaults fails each flow at its first step, then at its second, and so on until it succeeds.
func testFaults(t *testing.T, open Opener) {
	small, large := Bytes(13, 50), Bytes(14, 3<<20)
	id := newID(t)
	flows := map[string]func(ctx context.Context, s *storage.Store) error{
		"a small artifact": func(ctx context.Context, s *storage.Store) error {
			_, err := s.PutArtifact(ctx, bytes.NewReader(small), nil)
			return err
		},
		"a large artifact": func(ctx context.Context, s *storage.Store) error {
			_, err := s.PutArtifact(ctx, bytes.NewReader(large), nil)
			return err
		},
		"a known artifact": func(ctx context.Context, s *storage.Store) error {
			_, err := s.PutArtifact(ctx, bytes.NewReader(large), Expect(large))
			return err
		},
		"a temporary file": func(ctx context.Context, s *storage.Store) error {
			_, err := s.PutTemp(ctx, id, bytes.NewReader(large), nil)
			return err
		},
		"a promotion": func(ctx context.Context, s *storage.Store) error {
			temp, err := s.PutTemp(ctx, id, bytes.NewReader(small), nil)
			if err == nil {
				_, err = s.Promote(ctx, temp)
			}
			return errors.Join(err, s.Delete(ctx, temp.Key))
		},
	}
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) { wantSafe(t, open, flow) })
	}
}

func wantSafe(t *testing.T, open Opener, flow func(context.Context, *storage.Store) error) {
	var sw Switch
	s := open(t, &storage.Options{Intercept: sw.Intercept})
	for step := range 100 {
		sw.Arm(step, fmt.Errorf("injected: %w", syscall.ENOSPC))
		err := flow(t.Context(), s)
		fired := sw.Fired()
		if fired == "" {
			if err != nil {
				t.Fatalf("without a fault = %v", err)
			}
			return
		}
		what := fmt.Sprintf("failing at step %d, %s", step, fired)
		switch {
		case err == nil && fired != storage.OpDelete: // a spool file that stays is no reason to fail
			t.Errorf("%s: no error", what)
		case err != nil && (!errors.Is(err, pulperr.Unavailable) || !errors.Is(err, syscall.ENOSPC)):
			t.Errorf("%s: %v, want Unavailable with its cause", what, err)
		}
		wantSound(t, s, what, fired)
	}
	t.Error("the flow never succeeded")
}

// wantSound fails the test unless each object has the bytes that its key names, and removes all objects.
func wantSound(t *testing.T, s *storage.Store, what string, fired storage.Op) {
	t.Helper()
	for a, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatalf("%s: List = %v", what, err)
		}
		o, err := s.Digest(t.Context(), a.Key)
		// These operations come after the bytes got their key, so a complete object may remain.
		late := fired == storage.OpSyncDir || fired == storage.OpDelete || fired == storage.OpLink
		if err != nil || !late || a.Key != storage.ArtifactKey(o.Digests.SHA256) && fired == storage.OpSyncDir {
			t.Errorf("%s: it left %q, %v", what, a.Key, err)
		}
		if err := s.Delete(t.Context(), a.Key); err != nil {
			t.Errorf("%s: Delete = %v", what, err)
		}
	}
	if fired == storage.OpDelete {
		_, _ = s.Sweep(t.Context(), -1)
		return
	}
	wantSwept(t, s)
}
