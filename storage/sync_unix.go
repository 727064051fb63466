//go:build !windows

package storage

import "errors"

// syncDir flushes the entries of a directory to the disk.
func (f *folder) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
