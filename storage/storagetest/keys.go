package storagetest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func testMissing(t *testing.T, open Opener) {
	s := open(t, nil)
	ctx := t.Context()
	o := put(t, s, []byte("here"))
	for _, key := range []string{
		storage.ArtifactKey(Digests(nil).SHA256), storage.TempKey(newID(t)), "artifact", o.Key + "/below",
		strings.TrimSuffix(o.Key, o.Key[len(o.Key)-1:]),
	} {
		_, err := s.Open(ctx, key)
		wantKind(t, "Open", err, pulperr.NotFound)
		_, err = s.OpenRange(ctx, key, 3, 4)
		wantKind(t, "OpenRange", err, pulperr.NotFound)
		_, err = s.Stat(ctx, key)
		wantKind(t, "Stat", err, pulperr.NotFound)
		_, err = s.Digest(ctx, key)
		wantKind(t, "Digest", err, pulperr.NotFound)
		if ok, err := s.Exists(ctx, key); ok || err != nil {
			t.Errorf("Exists(%q) = %v, %v", key, ok, err)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%q) = %v, want nil", key, err)
		}
	}
	a, err := s.Stat(ctx, o.Key)
	if err != nil || a.Key != o.Key || a.Size != 4 || time.Since(a.ModTime).Abs() > time.Hour {
		t.Errorf("Stat = %+v, %v", a, err)
	}
	if ok, err := s.Exists(ctx, o.Key); !ok || err != nil {
		t.Errorf("Exists = %v, %v", ok, err)
	}
	for range 2 {
		if err := s.Delete(ctx, o.Key); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	wantNothing(t, s)
}

func testList(t *testing.T, open Opener) {
	s := open(t, nil)
	var artifacts, temps []string
	for i := range 30 {
		artifacts = append(artifacts, put(t, s, Bytes(uint64(i), i+1)).Key)
		o, err := s.PutTemp(t.Context(), newID(t), bytes.NewReader(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		temps = append(temps, o.Key)
	}
	wantKeys(t, s, "artifact", artifacts...)
	wantKeys(t, s, "tmp", temps...)
	wantKeys(t, s, "", slices.Concat(artifacts, temps)...)
	wantKeys(t, s, "art")
	wantKeys(t, s, "nowhere")
	n := 0
	for a, err := range s.List(t.Context(), "artifact") {
		if err != nil || a.Size == 0 || a.ModTime.IsZero() {
			t.Errorf("List = %+v, %v", a, err)
		}
		if n++; n == 3 {
			break // must be possible
		}
	}
}

func testPrefix(t *testing.T, open Opener) {
	s := open(t, nil)
	ctx := t.Context()
	b := []byte("the same bytes")
	red, blue := s.InPrefix("red"), s.InPrefix("b").InPrefix("lue")
	o := put(t, red, b)
	wantBytes(t, red, o.Key, b)
	for name, other := range map[string]*storage.Store{"the store": s, "another view": blue} {
		if ok, err := other.Exists(ctx, o.Key); ok || err != nil {
			t.Errorf("%s sees the artifact of a view: %v, %v", name, ok, err)
		}
		if err := other.Delete(ctx, o.Key); err != nil {
			t.Error(err)
		}
	}
	put(t, blue, b)
	wantKeys(t, red, "", o.Key)
	wantKeys(t, blue, "artifact", o.Key)
	wantKeys(t, s, "", "red/"+o.Key, "b/lue/"+o.Key)
	wantBytes(t, s, "red/"+o.Key, b)
	if err := red.Close(); err != nil {
		t.Errorf("Close of a view = %v", err)
	}
	wantPromotion(t, blue, []byte("promoted"))
	wantBytes(t, red, o.Key, b) // still open
	for _, prefix := range []string{"..", "/x", "x/", "a//b", "a\x00b", "artifact", "tmp/x", "spool", ".", "a\\b"} {
		bad := s.InPrefix(prefix)
		_, err := bad.PutArtifact(ctx, bytes.NewReader(b), nil)
		wantKind(t, "PutArtifact in "+prefix, err, pulperr.Invalid)
		_, err = bad.InPrefix("fine").Stat(ctx, o.Key)
		wantKind(t, "Stat in "+prefix, err, pulperr.Invalid)
		for _, err := range bad.List(ctx, "") {
			wantKind(t, "List in "+prefix, err, pulperr.Invalid)
		}
	}
	wantSwept(t, s)
}

func testKeys(t *testing.T, open Opener) {
	s := open(t, nil)
	ctx := t.Context()
	for _, key := range []string{
		"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "a/./b", "a\x00b", "a\nb", "a\\b", "\xff",
		"spool", "spool/x", strings.Repeat("x", 300), strings.Repeat("x/", 600) + "x",
	} {
		_, err := s.Open(ctx, key)
		wantKind(t, "Open", err, pulperr.Invalid)
		_, err = s.Stat(ctx, key)
		wantKind(t, "Stat", err, pulperr.Invalid)
		wantKind(t, "Delete", s.Delete(ctx, key), pulperr.Invalid)
		_, err = s.SignedURL(ctx, key, nil)
		wantKind(t, "SignedURL", err, pulperr.Invalid)
		_, err = s.Promote(ctx, storage.Object{Key: key, Digests: Digests(nil)})
		wantKind(t, "Promote", err, pulperr.Invalid)
	}
}
