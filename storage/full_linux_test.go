package storage_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestDiskFull does not run beside others: a process that another test starts holds this one's files open between its
// fork and its exec, and with them their space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("NOT TESTED on a really full disk, mounting needs root: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := open(t, dir, nil)
	if err := wantFull(t.Context(), s); err != nil {
		t.Error(err)
	}
	if u, err := s.Usage(t.Context()); err != nil || u.Total != 1<<20 || u.Used < 500_000 || u.Used+u.Free != u.Total {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}
