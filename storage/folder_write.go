package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
)

// spoolFile is a sink: a file in the spool folder.
type spoolFile struct {
	folder *folder
	ctx    context.Context
	file   *os.File
	name   string // "" once it is gone
	key    string // as far as known, for intercept
}

func (f *folder) create(ctx context.Context, key, spool string, _ int64) (sink, error) {
	if err := f.intercept(ctx, OpCreate, key); err != nil {
		return nil, err
	}
	s, err := f.spool(ctx, key, spool)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (f *folder) spool(ctx context.Context, key, spool string) (*spoolFile, error) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, err := f.root.OpenFile(spool, flags, fileMode)
	// The spool is missing before the first write.
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.root.MkdirAll(path.Dir(spool), dirMode); err != nil {
			return nil, err
		}
		file, err = f.root.OpenFile(spool, flags, fileMode)
	}
	if err != nil {
		return nil, err
	}
	return &spoolFile{folder: f, ctx: ctx, file: file, name: spool, key: key}, nil
}

func (s *spoolFile) Write(p []byte) (int, error) {
	if err := s.folder.intercept(s.ctx, OpWrite, s.key); err != nil {
		return 0, err
	}
	return s.file.Write(p)
}

func (s *spoolFile) commit(ctx context.Context, key string) error {
	f := s.folder
	if !f.relaxed {
		if err := f.intercept(ctx, OpSync, key); err != nil {
			return err
		}
		// Before the rename: a file system may store the rename first, and a power cut would then leave an empty or partial
		// file at the key.
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	// A network file system may report a failed write only at close, so close comes before the rename.
	if err := s.file.Close(); err != nil {
		return err
	}
	if err := f.intercept(ctx, OpCommit, key); err != nil {
		return err
	}
	err := f.withParentDir(key, func() error { return f.root.Rename(s.name, key) })
	if err != nil {
		return err
	}
	s.name = ""
	// The new name is an entry of the directory, which survives a power cut only after the directory was flushed.
	return f.syncDir(ctx, path.Dir(key))
}

func (s *spoolFile) abort() error {
	err := s.file.Close()
	// commit has closed the file if it failed later.
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if s.name == "" {
		return err
	}
	gone := s.folder.root.Remove(s.name)
	s.name = ""
	return errors.Join(err, gone)
}

// withParentDir runs step, which gives a file the name key. If step fails because the directory of key is missing, it
// makes the directory and runs step once more.
func (f *folder) withParentDir(key string, step func() error) error {
	err := step()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := path.Dir(key)
	if err := f.root.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	for ; dir != "."; dir = path.Dir(dir) {
		// The directories are new: their entries have to be flushed again.
		f.known.Delete(dir)
	}
	return step()
}

// link gives the file a second name, so that the bytes exist once; where hard links are not possible it copies them.
func (f *folder) link(ctx context.Context, from, to, spool string) error {
	if err := f.intercept(ctx, OpLink, to); err != nil {
		return err
	}
	// withParentDir would take a missing source for a missing directory of the target.
	if _, err := f.root.Lstat(from); err != nil {
		return err
	}
	err := f.withParentDir(to, func() error { return f.root.Link(from, to) })
	switch {
	// Another process has stored the same bytes, or the file there is damaged.
	case errors.Is(err, fs.ErrExist):
		return f.relink(ctx, from, to, spool)
	// A file system without hard links, or two file systems below one folder.
	case err != nil:
		return f.copy(ctx, from, to, spool)
	}
	return f.syncDir(ctx, path.Dir(to))
}

// relink replaces the file at to, in one step.
func (f *folder) relink(ctx context.Context, from, to, spool string) error {
	if err := f.withParentDir(spool, func() error { return f.root.Link(from, spool) }); err != nil {
		return f.copy(ctx, from, to, spool)
	}
	if err := f.root.Rename(spool, to); err != nil {
		return errors.Join(err, f.root.Remove(spool))
	}
	// A rename onto another name of the same file has no effect and leaves both names.
	if err := f.root.Remove(spool); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.syncDir(ctx, path.Dir(to))
}

func (f *folder) copy(ctx context.Context, from, to, spool string) (err error) {
	src, err := f.root.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := f.spool(ctx, to, spool)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst.file, src); err != nil {
		return errors.Join(err, dst.abort())
	}
	if err := dst.commit(ctx, to); err != nil {
		return errors.Join(err, dst.abort())
	}
	return nil
}

// ensureDurable flushes the directory of key. Another writer may have renamed its file to key without having flushed
// the directory yet, and may be killed before it does.
func (f *folder) ensureDurable(ctx context.Context, key string) error {
	return f.syncDir(ctx, path.Dir(key))
}

// syncDir flushes a directory and, once per process, the entries of its parents.
func (f *folder) syncDir(ctx context.Context, dir string) error {
	if f.relaxed {
		return nil
	}
	if err := f.intercept(ctx, OpSyncDir, dir); err != nil {
		return err
	}
	if err := syncDir(f.root, dir); err != nil {
		return err
	}
	// The entry of a directory changes only when the directory is made, so one flush per process is enough.
	for dir != "." {
		if _, ok := f.known.Load(dir); ok {
			return nil
		}
		parent := path.Dir(dir)
		if err := syncDir(f.root, parent); err != nil {
			return err
		}
		f.known.Store(dir, struct{}{})
		dir = parent
	}
	return nil
}
