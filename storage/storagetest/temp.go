package storagetest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func testTemp(t *testing.T, open Opener) {
	s := open(t, nil)
	for i, size := range []int{0, 50, 3 << 20} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) { wantPromotion(t, s, Bytes(uint64(i), size)) })
	}
	t.Run("a missing file", func(t *testing.T) {
		gone := storage.Object{Key: storage.TempKey(newID(t)), Size: 5, Digests: Digests([]byte("never"))}
		_, err := s.Promote(t.Context(), gone)
		wantKind(t, "Promote", err, pulperr.NotFound)
	})
	t.Run("a file of another size", func(t *testing.T) {
		o, err := s.PutTemp(t.Context(), newID(t), bytes.NewReader([]byte("six by")), nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Size++
		_, err = s.Promote(t.Context(), o)
		wantKind(t, "Promote", err, pulperr.Conflict)
		if err := s.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("bytes that become one late", func(t *testing.T) { wantLateTemp(t, s) })
	t.Run("without a sha256", func(t *testing.T) {
		o, err := s.PutTemp(t.Context(), newID(t), bytes.NewReader([]byte("x")), nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Digests = hashlib.Digests{SHA512: o.Digests.SHA512}
		_, err = s.Promote(t.Context(), o)
		wantKind(t, "Promote", err, pulperr.Invalid)
		if err := s.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	})
	wantNothing(t, s)
}

// wantPromotion takes b through the life of a temporary file, and removes it.
func wantPromotion(t *testing.T, s *storage.Store, b []byte) {
	ctx := t.Context()
	id := newID(t)
	temp, err := s.PutTemp(ctx, id, bytes.NewReader(b), Expect(b))
	want := storage.Object{Key: storage.TempKey(id), Size: int64(len(b)), Digests: Digests(b)}
	if err != nil || temp != want {
		t.Fatalf("PutTemp = %+v, %v, want %+v", temp, err, want)
	}
	wantBytes(t, s, temp.Key, b)
	want.Key = storage.ArtifactKey(want.Digests.SHA256)
	for range 2 {
		if art, err := s.Promote(ctx, temp); err != nil || art != want {
			t.Fatalf("Promote = %+v, %v, want %+v", art, err, want)
		}
	}
	wantBytes(t, s, temp.Key, b) // for a transaction that rolls back
	wantBytes(t, s, want.Key, b)
	if err := s.Delete(ctx, temp.Key); err != nil {
		t.Fatalf("Delete = %v", err)
	}
	wantBytes(t, s, want.Key, b)
	if art, err := s.Promote(ctx, temp); err != nil || art != want {
		t.Errorf("Promote once more = %+v, %v, want %+v", art, err, want)
	}
	if err := s.Delete(ctx, want.Key); err != nil {
		t.Fatalf("Delete = %v", err)
	}
}

// wantLateTemp commits the bytes of an artifact's writer as a temporary file.
func wantLateTemp(t *testing.T, s *storage.Store) {
	t.Helper()
	for _, size := range []int{0, 50, 3 << 20} {
		bytes := Bytes(7, size)
		w, err := s.NewArtifactWriter(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes); err != nil {
			t.Fatal(err)
		}
		id := newID(t)
		o, err := w.CommitTemp(id)
		if err != nil || o.Key != storage.TempKey(id) || o.Size != int64(size) || o.Digests != Digests(bytes) {
			t.Fatalf("CommitTemp = %+v, %v", o, err)
		}
		if there, err := s.Exists(t.Context(), storage.ArtifactKey(o.Digests.SHA256)); err != nil || there {
			t.Errorf("CommitTemp left an artifact: %v, %v", there, err)
		}
		if _, err := w.CommitTemp(newID(t)); err == nil {
			t.Error("CommitTemp again = nil, want an error")
		}
		if err := s.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	w, err := s.NewArtifactWriter(t.Context(), &hashlib.Expect{Digests: Digests([]byte("x"))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.CommitTemp(newID(t))
	wantKind(t, "CommitTemp of a writer that expects a sha256", err, pulperr.Internal)
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
}
