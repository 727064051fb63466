package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
)

// upstream serves a folder as a remote to sync from: its files, and a PULP_MANIFEST that lists them.
type upstream struct {
	root     *os.Root
	entries  []file.Entry
	bytes    int64
	manifest []byte
}

// openUpstream lists and hashes all regular files below dir. The caller closes it.
func openUpstream(ctx context.Context, dir string, b *bars) (*upstream, error) {
	// A root does not follow a symbolic link out of the folder, and so serves no file from outside.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	u := &upstream{root: root}
	if err := u.list(); err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	bar := b.add("hashing", int64(len(u.entries)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i := range u.entries {
		group.Go(func() error {
			// After a failure the other files need no hash. The goroutines that wait for a slot are still started.
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			defer bar.add(1)
			return u.hash(&u.entries[i])
		})
	}
	if err := group.Wait(); err != nil {
		_ = root.Close()
		return nil, err
	}
	var list bytes.Buffer
	for _, e := range u.entries {
		u.bytes += e.Size
		if err := file.WriteEntry(&list, e); err != nil {
			_ = root.Close()
			return nil, err
		}
	}
	u.manifest = list.Bytes()
	return u, nil
}

func (u *upstream) list() error {
	return fs.WalkDir(u.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		// A manifest cannot express other paths, such as one with a line break.
		if err == nil && d.Type().IsRegular() && models.ValidPath(path) {
			u.entries = append(u.entries, file.Entry{Path: path})
		}
		return err
	})
}

func (u *upstream) hash(e *file.Entry) error {
	f, err := u.root.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if e.Size, err = io.Copy(h, f); err != nil {
		return err
	}
	e.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

// ServeHTTP serves the manifest and the files.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/PULP_MANIFEST" {
		_, _ = w.Write(u.manifest)
		return
	}
	http.FileServerFS(u.root.FS()).ServeHTTP(w, r)
}

// Close closes the folder.
func (u *upstream) Close() error { return u.root.Close() }
