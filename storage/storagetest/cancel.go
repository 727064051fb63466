package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func testCancel(t *testing.T, open Opener) {
	s := open(t, nil)
	b := Bytes(8, 12<<20)
	for _, written := range []int{0, 50, 2 << 20, 12 << 20} {
		for name, expect := range map[string]*hashlib.Expect{"nothing": nil, "all": Expect(b)} {
			t.Run(fmt.Sprintf("after %d bytes, %s promised", written, name), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w, err := s.NewArtifactWriter(ctx, expect)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(b[:written]); err != nil {
					t.Fatal(err)
				}
				cancel()
				_, err = w.Write(b[written:])
				wantKind(t, "Write", err, pulperr.Canceled)
				_, err = w.Commit()
				wantKind(t, "Commit", err, pulperr.Canceled)
				if err := w.Abort(); err != nil {
					t.Errorf("Abort = %v", err)
				}
			})
		}
	}
	t.Run("late", func(t *testing.T) { wantLateCancel(t, s, b) })
	wantNothing(t, s)
	t.Run("reading", func(t *testing.T) { wantReadCancel(t, s, b) })
}

// wantLateCancel cancels between the last byte and the commit, and from inside the source.
func wantLateCancel(t *testing.T, s *storage.Store, b []byte) {
	t.Run("between the last byte and the commit", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := s.NewArtifactWriter(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err = w.Commit()
		wantKind(t, "Commit", err, pulperr.Canceled)
	})
	t.Run("from inside the source", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src := io.MultiReader(bytes.NewReader(b[:3<<20]), callReader(cancel), bytes.NewReader(b[3<<20:]))
		_, err := s.PutTemp(ctx, newID(t), src, nil)
		wantKind(t, "PutTemp", err, pulperr.Canceled)
	})
}

func wantReadCancel(t *testing.T, s *storage.Store, b []byte) {
	key := put(t, s, b).Key
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	wantKind(t, "Read", err, pulperr.Canceled)
}

// callReader calls a function when it is read, and is at its end then.
type callReader func()

func (f callReader) Read([]byte) (int, error) { f(); return 0, io.EOF }

func testCutSource(t *testing.T, open Opener) {
	s := open(t, nil)
	cut := errors.New("connection reset")
	for _, n := range []int{0, 50, 3 << 20} {
		b := Bytes(9, n)
		src := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(cut))
		if _, err := s.PutArtifact(t.Context(), src, nil); !errors.Is(err, cut) {
			t.Errorf("PutArtifact cut after %d bytes = %v, want %v", n, err, cut)
		}
	}
	wantNothing(t, s)
	b := Bytes(10, 3<<20)
	w, err := s.NewArtifactWriter(t.Context(), Expect(b))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.ReadFrom(io.MultiReader(bytes.NewReader(b[:2<<20]), iotest.ErrReader(cut)))
	if !errors.Is(err, cut) || w.Size() != 2<<20 {
		t.Errorf("ReadFrom = %v with %d bytes", err, w.Size())
	}
	if _, err := w.ReadFrom(bytes.NewReader(b[w.Size():])); err != nil {
		t.Errorf("resuming: %v", err)
	}
	o, err := w.Commit()
	if err != nil {
		t.Fatalf("Commit of a resumed write = %v", err)
	}
	wantBytes(t, s, o.Key, b)
}
