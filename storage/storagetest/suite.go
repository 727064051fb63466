// Package storagetest tests that a storage.Store keeps its contract. It is for hosts whose bytes lie in a service of
// their own: write a gocloud.dev/blob/driver.Bucket for the service, and run the suite on the Store made of it.
//
//	func TestConformance(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T, opts *storage.Options) *storage.Store {
//			s, err := storage.New(blob.NewBucket(openMyDriver(t)), opts)
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { _ = s.Close() })
//			return s
//		})
//	}
//
// # What a driver must do
//
// The contract of each method is in gocloud.dev/blob/driver. The Store relies on these parts of it most:
//
//   - NewTypedWriter: an object appears at Close, complete and in one step. If the context was canceled before Close,
//     Close fails and no object appears. An object at the key is replaced. Once Close has returned nil, the bytes are
//     durable.
//   - NewRangeReader: reads exactly the range, and reports the size of the whole object. A connection that is cut is
//     an error and never an early io.EOF.
//   - Attributes, NewRangeReader, Copy: a missing key gives an error for which ErrorCode returns gcerrors.NotFound, and
//     no other error gives that code. They find an object as soon as its Close or Copy has returned.
//   - Copy: keeps the source and replaces the target in one step. A driver that cannot copy returns an error; the Store
//     then moves the bytes itself.
//   - Delete: once it has returned, the key is missing.
//   - ListPaged: yields every object below the prefix once, with its size and time.
//   - SignedURL: returns a URL, or an error for which ErrorCode returns gcerrors.Unimplemented.
//   - Close: releases what the driver holds.
//
// All of them are called concurrently, and end soon after their context is canceled.
//
// # Faults
//
// [Fail], [Switch] and [Counter] are values for storage.Options.Intercept: tests of a host make the storage fail at any
// step with them. The suite is itself tested: drivers that break one rule each must fail in it.
package storagetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// Opener returns an empty store. The store must not share a folder, bucket or prefix with another one, and the Opener
// closes it at the end of the test. The Opener passes opts, which may be nil, on to storage.Open or storage.New; of the
// fields it may set Prefix, BeforeSign and others that the suite leaves at zero, on a copy. It is called concurrently.
type Opener func(t *testing.T, opts *storage.Options) *storage.Store

// Run runs the whole suite, each behaviour on a store of its own.
func Run(t *testing.T, open Opener) {
	behaviours := []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"what is put can be read", testPut},
		{"broken promises store nothing", testExpect},
		{"stored bytes are not written again", testDedupe},
		{"a writer can be reset and aborted", testWriter},
		{"temporary files become artifacts", testTemp},
		{"ranges are exact", testRange},
		{"missing objects are not found", testMissing},
		{"listing is complete", testList},
		{"prefixes are apart", testPrefix},
		{"malformed keys are refused", testKeys},
		{"a canceled write leaves nothing", testCancel},
		{"a cut source is not stored", testCutSource},
		{"writers do not disturb each other", testConcurrent},
		{"a failure at any step loses nothing", testFaults},
		{"the spool is swept", testSweep},
		{"the store checks itself", testCheck},
		{"signed URLs serve the bytes", testSign},
		{"a closed store fails", testClose},
		{"random operations match a model", testModel},
	}
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			b.test(t, open)
		})
	}
}

// Bytes returns n bytes that depend on seed only.
func Bytes(seed uint64, n int) []byte {
	var s [32]byte
	for i := range 8 {
		s[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b) // never fails
	return b
}

// Digests returns the default digests of b.
func Digests(b []byte) hashlib.Digests {
	w := hashlib.Default().Writer()
	_, _ = w.Write(b) // never fails
	return w.Digests()
}

// Expect returns a full promise for b.
func Expect(b []byte) *hashlib.Expect {
	return &hashlib.Expect{Digests: Digests(b), Size: hashlib.Size(int64(len(b)))}
}

// put stores b as an artifact or ends the test.
func put(t *testing.T, s *storage.Store, b []byte) storage.Object {
	t.Helper()
	o, err := s.PutArtifact(t.Context(), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatalf("PutArtifact(%d bytes) = %v", len(b), err)
	}
	return o
}

// wantBytes fails the test unless want is stored at key.
func wantBytes(t *testing.T, s *storage.Store, key string, want []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Errorf("Open(%q) = %v, want %d bytes", key, err, len(want))
		return
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Errorf("reading %q: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%q holds %d bytes, which are not the %d bytes put there", key, len(got), len(want))
	}
	if r.Size() != int64(len(want)) {
		t.Errorf("Size of %q = %d, want %d", key, r.Size(), len(want))
	}
}

// wantKind fails the test unless err is of kind k.
func wantKind(t *testing.T, what string, err error, k pulperr.Kind) {
	t.Helper()
	if !errors.Is(err, k) || pulperr.KindOf(err) != k {
		t.Errorf("%s = %v (kind %v), want kind %v", what, err, pulperr.KindOf(err), k)
	}
}

// wantNothing fails the test unless the store is empty, its spool included.
func wantNothing(t *testing.T, s *storage.Store) {
	t.Helper()
	wantKeys(t, s, "")
	wantSwept(t, s)
}

// wantSwept fails the test if an ended write left a file in the spool.
func wantSwept(t *testing.T, s *storage.Store) {
	t.Helper()
	// An hour ahead, so that files just written are swept even if the clock of the service is ahead of this one.
	switch n, err := s.Sweep(t.Context(), -time.Hour); {
	case err != nil:
		t.Errorf("Sweep = %v", err)
	case n != 0:
		t.Errorf("%d files were left in the spool", n)
	}
}

// wantKeys fails the test unless exactly these keys are below dir.
func wantKeys(t *testing.T, s *storage.Store, dir string, want ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, k := range want {
		missing[k] = true
	}
	for a, err := range s.List(t.Context(), dir) {
		if err != nil {
			t.Errorf("List(%q) = %v", dir, err)
			return
		}
		if !missing[a.Key] {
			t.Errorf("List(%q) has %q, want it absent or once", dir, a.Key)
		}
		delete(missing, a.Key)
	}
	for k := range missing {
		t.Errorf("List(%q) lacks %q", dir, k)
	}
}
