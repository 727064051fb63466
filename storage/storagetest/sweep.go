package storagetest

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// testSweep leaves spool files behind by failing their removal.
func testSweep(t *testing.T, open Opener) {
	s := open(t, &storage.Options{Intercept: Fail(storage.OpDelete, 1, errors.New("not now"))})
	keep := put(t, s, []byte("keep"))
	if err := s.InPrefix("view").Check(t.Context()); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Check without permission to delete = %v, want Unavailable", err)
	}
	if n, err := s.Sweep(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("Sweep of files older than an hour = %d, %v, want 0", n, err)
	}
	if n, err := s.Sweep(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Errorf("Sweep of all files = %d, %v, want 1", n, err)
	}
	wantKeys(t, s, "", keep.Key)
	wantBytes(t, s, keep.Key, []byte("keep"))
}

func testCheck(t *testing.T, open Opener) {
	s := open(t, nil)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check = %v", err)
	}
	wantNothing(t, s)
	for _, op := range []storage.Op{storage.OpCreate, storage.OpWrite, storage.OpCommit, storage.OpOpen} {
		s := open(t, &storage.Options{Intercept: Fail(op, 0, errors.New("broken"))})
		wantKind(t, "Check with broken "+string(op), s.Check(t.Context()), pulperr.Unavailable)
		wantNothing(t, s)
	}
}

// testClose closes the store twice. The Opener closes it once more.
func testClose(t *testing.T, open Opener) {
	s := open(t, nil)
	key := put(t, s, []byte("stored")).Key
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	_, err := s.Stat(t.Context(), key)
	wantKind(t, "Stat of a closed store", err, pulperr.Unavailable)
	_, err = s.Open(t.Context(), key)
	wantKind(t, "Open of a closed store", err, pulperr.Unavailable)
	_, err = s.PutArtifact(t.Context(), strings.NewReader("late"), nil)
	wantKind(t, "PutArtifact in a closed store", err, pulperr.Unavailable)
	wantKind(t, "Delete in a closed store", s.Delete(t.Context(), key), pulperr.Unavailable)
}

func testSign(t *testing.T, open Opener) {
	s := open(t, nil)
	b := []byte("signed")
	key := put(t, s, b).Key
	if !s.CanSign() {
		_, err := s.SignedURL(t.Context(), key, nil)
		wantKind(t, "SignedURL", err, pulperr.Unsupported)
		return
	}
	o := &storage.SignOptions{Filename: "pretty ü.rpm", ContentType: "application/x-rpm"}
	u, err := s.SignedURL(t.Context(), key, o)
	if err != nil {
		t.Fatalf("SignedURL = %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	head := wantResponse(t, req, http.StatusOK, b)
	if got := head.Get("Content-Disposition"); !strings.Contains(got, "attachment; filename") {
		t.Errorf("Content-Disposition = %q", got)
	}
	if got := head.Get("Content-Type"); got != "application/x-rpm" {
		t.Errorf("Content-Type = %q", got)
	}
	id := newID(t)
	o = &storage.SignOptions{Method: http.MethodPut, Expiry: time.Minute}
	u, err = s.SignedURL(t.Context(), storage.TempKey(id), o)
	if err != nil {
		t.Fatalf("SignedURL for PUT = %v", err)
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodPut, u, strings.NewReader("uploaded"))
	if err != nil {
		t.Fatal(err)
	}
	wantResponse(t, req, http.StatusOK, nil)
	wantBytes(t, s, storage.TempKey(id), []byte("uploaded"))
}
