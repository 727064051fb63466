//go:build linux || darwin || freebsd

package storage

import (
	"context"
	"syscall"
)

func (f *folder) usage(context.Context) (Usage, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(f.root.Name(), &st); err != nil {
		return Usage{}, err
	}
	size := int64(st.Bsize)
	u := Usage{Total: int64(st.Blocks) * size, Free: int64(st.Bavail) * size}
	u.Used = u.Total - int64(st.Bfree)*size
	return u, nil
}
