//go:build linux || darwin || freebsd

package storage

import (
	"context"
	"errors"
	"syscall"
)

func (f *folder) usage(context.Context) (Usage, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return Usage{}, err
	}
	var st syscall.Statfs_t
	if err := errors.Join(syscall.Fstatfs(int(dir.Fd()), &st), dir.Close()); err != nil {
		return Usage{}, err
	}
	size := int64(st.Bsize)
	// Bavail leaves out the blocks that are reserved for the superuser.
	u := Usage{Total: int64(st.Blocks) * size, Free: int64(st.Bavail) * size}
	u.Used = u.Total - int64(st.Bfree)*size
	return u, nil
}
