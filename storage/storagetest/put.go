package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// sizes lie around the limits of the chunks, of the memory for small objects, and of S3's parts.
var sizes = []int{0, 1, 50, 128 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 9 << 20}

func testPut(t *testing.T, open Opener) {
	s := open(t, nil)
	for i, size := range sizes {
		b := Bytes(uint64(i), size)
		full := Expect(b)
		for name, expect := range map[string]*hashlib.Expect{
			"nothing": nil,
			"size":    {Size: full.Size},
			"sha256":  {Digests: hashlib.SHA256Hex(full.Digests.SHA256)},
			"sha512":  {Digests: hashlib.Digests{SHA512: full.Digests.SHA512}},
			"all":     full,
		} {
			t.Run(fmt.Sprintf("%d bytes, %s promised", size, name), func(t *testing.T) {
				want := storage.Object{
					Key:     storage.ArtifactKey(full.Digests.SHA256),
					Size:    int64(size),
					Digests: full.Digests,
				}
				if err := s.Delete(t.Context(), want.Key); err != nil {
					t.Fatalf("Delete = %v", err)
				}
				// Short reads find a writer that relies on full buffers.
				got, err := s.PutArtifact(t.Context(), iotest.HalfReader(bytes.NewReader(b)), expect)
				if err != nil || got != want {
					t.Fatalf("PutArtifact = %+v, %v, want %+v", got, err, want)
				}
				wantBytes(t, s, want.Key, b)
				if again, err := s.Digest(t.Context(), want.Key); err != nil || again != want {
					t.Errorf("Digest = %+v, %v, want %+v", again, err, want)
				}
			})
		}
	}
	wantSwept(t, s)
}

func testExpect(t *testing.T, open Opener) {
	s := open(t, nil)
	small, large := Bytes(1, 1000), Bytes(2, 3<<20)
	for name, tt := range map[string]struct {
		give   []byte
		expect *hashlib.Expect
		fault  any
	}{
		"a wrong sha256":       {small, &hashlib.Expect{Digests: hashlib.SHA256Hex(Digests(large).SHA256)}, digest},
		"another wrong digest": {small, &hashlib.Expect{Digests: hashlib.Digests{SHA384: Digests(large).SHA384}}, digest},
		"a large wrong sha256": {large, &hashlib.Expect{Digests: hashlib.SHA256Hex(Digests(small).SHA256)}, digest},
		"too few bytes":        {small, &hashlib.Expect{Size: hashlib.Size(1001)}, size},
		"too many bytes":       {small, &hashlib.Expect{Size: hashlib.Size(999)}, size},
		"bytes instead of 0":   {small, &hashlib.Expect{Size: hashlib.Size(0)}, size},
		"too many large":       {large, &hashlib.Expect{Size: hashlib.Size(2 << 20)}, size},
		"right size, wrong bytes": {large, &hashlib.Expect{
			Digests: hashlib.SHA256Hex(Digests(small).SHA256), Size: hashlib.Size(int64(len(large))),
		}, digest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.PutArtifact(t.Context(), bytes.NewReader(tt.give), tt.expect)
			wantKind(t, "PutArtifact", err, pulperr.Invalid)
			wantFault(t, err, tt.fault)
			_, err = s.PutTemp(t.Context(), newID(t), bytes.NewReader(tt.give), tt.expect)
			wantFault(t, err, tt.fault)
		})
	}
	t.Run("malformed digests are refused before a byte is read", func(t *testing.T) {
		bad := &hashlib.Expect{Digests: hashlib.SHA256Hex("abc")}
		_, err := s.PutArtifact(t.Context(), iotest.ErrReader(errors.New("must not be read")), bad)
		wantKind(t, "PutArtifact", err, pulperr.Invalid)
	})
	t.Run("reading stops at the first chunk too many", func(t *testing.T) {
		src := &countingReader{Reader: endless{}}
		_, err := s.PutArtifact(t.Context(), src, &hashlib.Expect{Size: hashlib.Size(10)})
		wantFault(t, err, size)
		if src.n > 1<<20 {
			t.Errorf("%d bytes were read though 10 were promised", src.n)
		}
	})
	wantNothing(t, s)
}

const (
	digest = "digest"
	size   = "size"
)

// wantFault fails the test unless err is the typed error for a digest or a size.
func wantFault(t *testing.T, err error, which any) {
	t.Helper()
	_, isDigest := errors.AsType[*hashlib.DigestMismatchError](err)
	_, isSize := errors.AsType[*hashlib.SizeMismatchError](err)
	if which == digest && !isDigest || which == size && !isSize {
		t.Errorf("error = %v, want a %v mismatch", err, which)
	}
}

// testDedupe proves that stored bytes stay as they are, and are read and checked all the same.
func testDedupe(t *testing.T, open Opener) {
	var writes Counter
	s := open(t, &storage.Options{Intercept: writes.Intercept})
	b := Bytes(3, 2<<20)
	first := put(t, s, b)
	commits := writes.Count(storage.OpCommit)
	for name, expect := range map[string]*hashlib.Expect{
		"unknown": nil, "known": Expect(b), "known without size": {Digests: Digests(b)},
	} {
		again, err := s.PutArtifact(t.Context(), bytes.NewReader(b), expect)
		if err != nil || again != first {
			t.Errorf("%s: PutArtifact = %+v, %v, want %+v", name, again, err, first)
		}
	}
	if n := writes.Count(storage.OpCommit); n != commits {
		t.Errorf("the stored artifact was written %d times more", n-commits)
	}
	for name, give := range map[string][]byte{
		"short": b[1:], "long": append(b[:len(b):len(b)], 0), "other": Bytes(4, 2<<20),
	} {
		if _, err := s.PutArtifact(t.Context(), bytes.NewReader(give), Expect(b)); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("%s bytes for a stored artifact: %v, want Invalid", name, err)
		}
	}
	w, err := s.NewArtifactWriter(t.Context(), Expect(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), first.Key); err != nil {
		t.Fatal(err)
	}
	// The writer found the artifact stored and keeps no bytes, so Commit has none to store.
	_, err = w.ReadFrom(bytes.NewReader(b))
	if err == nil {
		_, err = w.Commit()
	}
	wantKind(t, "Commit of an artifact deleted meanwhile", err, pulperr.Unavailable)
	wantCommit(t, w, b)
	wantBytes(t, s, first.Key, b)
	wantSwept(t, s)
}

// wantCommit resets w, writes b and commits.
func wantCommit(t *testing.T, w *storage.Writer, b []byte) {
	t.Helper()
	if err := w.Reset(); err != nil {
		t.Fatalf("Reset = %v", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
		t.Fatalf("Write = %v", err)
	}
	got, err := w.Commit()
	if want := storage.ArtifactKey(Digests(b).SHA256); err != nil || got.Key != want {
		t.Fatalf("Commit = %+v, %v, want key %q", got, err, want)
	}
}

func testWriter(t *testing.T, open Opener) {
	s := open(t, nil)
	right, wrong := Bytes(5, 3<<20), Bytes(6, 3<<20)
	for name, expect := range map[string]*hashlib.Expect{"nothing": nil, "all": Expect(right)} {
		t.Run("reset with "+name+" promised", func(t *testing.T) {
			w, err := s.NewArtifactWriter(t.Context(), expect)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(wrong[:2<<20]); err != nil || w.Size() != 2<<20 {
				t.Fatalf("Write = %v, Size %d", err, w.Size())
			}
			wantCommit(t, w, right)
			if err := w.Abort(); err != nil {
				t.Errorf("Abort after Commit = %v", err)
			}
			key := storage.ArtifactKey(Digests(right).SHA256)
			wantBytes(t, s, key, right)
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("reset after a failed commit", func(t *testing.T) {
		w, err := s.NewArtifactWriter(t.Context(), Expect(right))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(wrong); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := w.Commit()
			wantFault(t, err, digest)
		}
		if _, err := w.Write(right); err == nil {
			t.Error("Write after a failed Commit succeeded")
		}
		wantCommit(t, w, right)
	})
	t.Run("abort", func(t *testing.T) { wantAbort(t, s, wrong) })
	wantSwept(t, s)
}

func wantAbort(t *testing.T, s *storage.Store, b []byte) {
	w, err := s.NewArtifactWriter(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Errorf("Abort = %v", err)
		}
	}
	if _, err := w.Write(b); err == nil {
		t.Error("Write after Abort succeeded")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("Commit after Abort succeeded")
	}
	if err := w.Reset(); err == nil {
		t.Error("Reset after Abort succeeded")
	}
	if ok, err := s.Exists(t.Context(), storage.ArtifactKey(Digests(b).SHA256)); ok || err != nil {
		t.Errorf("Exists after Abort = %v, %v", ok, err)
	}
}

// endless yields zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, strings.Repeat("\x00", len(p))), nil }

type countingReader struct {
	io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}
