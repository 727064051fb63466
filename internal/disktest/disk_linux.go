// Package disktest gives tests a disk of their own.
package disktest

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// Small returns a folder that is a file system of its own, made with options as tmpfs has them, "size=1m", until the
// test ends. Mounting needs root: without it the test is skipped.
//
// The test must not run beside others: a process that another one starts holds this one's files open between its fork
// and its exec, and with them their space.
func Small(tb testing.TB, options string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if errors.Is(err, os.ErrPermission) {
			tb.Skipf("NOT TESTED on a really full disk, mounting needs root: %v", err)
		}
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount: %v", err)
		}
	})
	return dir
}
