package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// folder is the backend in a local folder. All access goes through an os.Root, so neither a key nor a symbolic link
// leads out of it. Bytes are written to the flat spool folder, flushed, renamed to their key, and then the directory
// is flushed: after a crash a key has either all bytes or no file, and at worst a file remains in the spool.
type folder struct {
	root      *os.Root
	relaxed   bool
	intercept func(context.Context, Op, string) error
	known     sync.Map // directories whose own entry is on the disk
}

const (
	fileMode = 0o644 // before the umask
	dirMode  = 0o755
)

// openFolder returns the backend in dir, which is made if it is missing.
func openFolder(dir string, o Options) (*folder, error) {
	if err := makeFolder(dir, o.Relaxed); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, relaxed: o.Relaxed, intercept: o.Intercept}, nil
}

// makeFolder makes dir and its parents as far as they are missing, and flushes their entries.
func makeFolder(dir string, relaxed bool) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeFolder(parent, relaxed); err != nil {
		return err
	}
	// Another process may make the folder at the same time.
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if relaxed {
		return nil
	}
	// A power cut could take a new folder away, with all bytes stored in it, until the entry in its parent was flushed.
	root, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(root, "."), root.Close())
}

func (f *folder) open(ctx context.Context, key string, offset, length int64) (source, error) {
	if err := f.intercept(ctx, OpOpen, key); err != nil {
		return source{}, err
	}
	file, err := f.root.Open(key)
	if err != nil {
		return source{}, err
	}
	src, err := f.section(file, offset, length)
	if err != nil {
		return source{}, errors.Join(err, file.Close())
	}
	return src, nil
}

func (f *folder) section(file *os.File, offset, length int64) (source, error) {
	info, err := file.Stat()
	if err != nil {
		return source{}, err
	}
	if !info.Mode().IsRegular() {
		return source{}, fs.ErrNotExist
	}
	n, err := clip(info.Size(), offset, length)
	if err != nil {
		return source{}, err
	}
	if offset > 0 {
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return source{}, err
		}
	}
	return source{
		ReadSeekCloser: &section{File: file, offset: offset},
		size:           info.Size(), length: n, file: file, modTime: info.ModTime(),
	}, nil
}

// section is a file whose position 0 is at offset. It does not end with the part; Reader does that.
type section struct {
	*os.File
	offset int64
}

func (s *section) Seek(pos int64, whence int) (int64, error) {
	at, err := s.File.Seek(s.offset+pos, whence)
	return at - s.offset, err
}

func (f *folder) stat(ctx context.Context, key string) (Attributes, error) {
	if err := f.intercept(ctx, OpStat, key); err != nil {
		return Attributes{}, err
	}
	info, err := f.root.Stat(key)
	if err != nil {
		return Attributes{}, err
	}
	if !info.Mode().IsRegular() {
		return Attributes{}, fs.ErrNotExist
	}
	return Attributes{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func (f *folder) remove(ctx context.Context, key string) error {
	if err := f.intercept(ctx, OpDelete, key); err != nil {
		return err
	}
	// Root.Remove also removes an empty directory, which another write may have made for its key a moment ago.
	info, err := f.root.Lstat(key)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fs.ErrNotExist
	}
	return f.root.Remove(key)
}

// list walks the tree below prefix, a directory at a time, in the order of the keys.
func (f *folder) list(ctx context.Context, prefix string) iter.Seq2[Attributes, error] {
	return func(yield func(Attributes, error) bool) {
		if err := f.intercept(ctx, OpList, prefix); err != nil {
			yield(Attributes{}, err)
			return
		}
		f.walk(ctx, strings.TrimSuffix(prefix, "/"), yield)
	}
}

func (f *folder) walk(ctx context.Context, dir string, yield func(Attributes, error) bool) bool {
	entries, err := fs.ReadDir(f.root.FS(), path.Join(".", dir))
	// Another process may have removed the directory since its parent was read.
	if err != nil && !isMissing(err) {
		return yield(Attributes{}, err)
	}
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			yield(Attributes{}, err)
			return false
		}
		key := path.Join(dir, e.Name())
		if e.IsDir() {
			if !f.walk(ctx, key, yield) {
				return false
			}
			continue
		}
		info, err := f.root.Lstat(key)
		// A file may be removed during the walk. Symbolic links and devices were not written by the store.
		if isMissing(err) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		a := Attributes{Key: key}
		if err == nil {
			a.Size, a.ModTime = info.Size(), info.ModTime()
		}
		if !yield(a, err) {
			return false
		}
	}
	return true
}

func (f *folder) close() error { return f.root.Close() }
