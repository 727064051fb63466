//go:build !windows

package storage

import (
	"errors"
	"os"
)

// syncDir flushes the entries of a directory to the disk.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
