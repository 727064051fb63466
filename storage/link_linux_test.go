package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/storage"
)

// TestPromoteAcrossMounts promotes where no hard link is possible.
func TestPromoteAcrossMounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", tmp, "tmpfs", 0, "size=1m"); err != nil {
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("NOT TESTED across file systems, mounting needs root: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(tmp, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	if err := os.WriteFile(filepath.Join(tmp, "x"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	hello := hashlib.SHA256Hex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
	for range 2 {
		o, err := s.Promote(t.Context(), storage.Object{Key: "tmp/x", Size: 5, Digests: hello})
		if err != nil {
			t.Fatalf("Promote = %v", err)
		}
		got, err := s.Digest(t.Context(), o.Key)
		if err != nil || got.Digests.SHA256 != hello.SHA256 {
			t.Errorf("Digest = %+v, %v", got, err)
		}
		damaged := filepath.Join(dir, filepath.FromSlash(o.Key))
		if err := os.WriteFile(damaged, []byte("hell"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), -1<<40); n != 0 || err != nil {
		t.Errorf("%d files were left in the spool, %v", n, err)
	}
	if _, err := s.PutTemp(t.Context(), [16]byte{1}, strings.NewReader("x"), nil); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("PutTemp across file systems = %v, want EXDEV", err)
	}
}
