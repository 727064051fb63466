package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/storage"
)

func testConcurrent(t *testing.T, open Opener) {
	s := open(t, nil)
	t.Run("the same artifact", func(t *testing.T) {
		b := Bytes(11, 2<<20)
		expects := []*hashlib.Expect{nil, Expect(b), {Digests: Digests(b)}}
		errs := together(12, func(i int) error {
			o, err := s.PutArtifact(t.Context(), bytes.NewReader(b), expects[i%len(expects)])
			if err == nil {
				_, err = s.Digest(t.Context(), o.Key)
			}
			return err
		})
		if errs != nil {
			t.Errorf("PutArtifact = %v", errs)
		}
		key := storage.ArtifactKey(Digests(b).SHA256)
		wantBytes(t, s, key, b)
		wantKeys(t, s, "", key)
	})
	t.Run("the same temporary file promoted", func(t *testing.T) {
		b := Bytes(12, 1000)
		temp, err := s.PutTemp(t.Context(), newID(t), bytes.NewReader(b), nil)
		if err != nil {
			t.Fatal(err)
		}
		if errs := together(12, func(int) error { _, err := s.Promote(t.Context(), temp); return err }); errs != nil {
			t.Errorf("Promote = %v", errs)
		}
		wantBytes(t, s, storage.ArtifactKey(temp.Digests.SHA256), b)
	})
	t.Run("many artifacts", func(t *testing.T) { wantMany(t, s) })
	wantSwept(t, s)
}

func wantMany(t *testing.T, s *storage.Store) {
	errs := together(20, func(i int) error {
		for j := range 5 {
			b := fmt.Appendf(nil, "writer %d, file %d", i, j)
			o, err := s.PutArtifact(t.Context(), bytes.NewReader(b), nil)
			if err != nil {
				return err
			}
			got, err := s.Digest(t.Context(), o.Key)
			if err != nil || got != o {
				return fmt.Errorf("got digest %+v, %w, want %+v", got, err, o)
			}
			if err := s.Delete(t.Context(), o.Key); err != nil {
				return err
			}
		}
		return nil
	})
	if errs != nil {
		t.Error(errs)
	}
}

// together runs n functions at once and joins their errors.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(slices.Clip(errs)...)
}
