package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pulpgo/pulpcore/pulperr"
)

// importPath splits the path of a file URL in the allowed directory that it is below and the rest.
func importPath(urlPath string, allowed []string) (dir, rest string, ok bool) {
	path := filepath.Clean(filepath.FromSlash(urlPath))
	for _, a := range allowed {
		a = filepath.Clean(a)
		// Whole path elements are compared, so that /mnt/imports does not admit /mnt/imports-evil. The root directory
		// already ends in a separator.
		prefix := strings.TrimSuffix(a, string(filepath.Separator)) + string(filepath.Separator)
		r, below := strings.CutPrefix(path, prefix)
		// The innermost directory wins, because symbolic links may not lead out of the directory that is opened.
		if below && r != "" && len(a) >= len(dir) {
			dir, rest, ok = a, r, true
		}
	}
	return dir, rest, ok
}

// openImport opens a regular file below an allowed import path. Symbolic links are followed inside of that directory
// only.
func openImport(urlPath string, allowed []string) (*os.File, fs.FileInfo, error) {
	dir, rest, _ := importPath(urlPath, allowed)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, pathError(urlPath, err)
	}
	defer root.Close()
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := root.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, pathError(urlPath, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, pathError(urlPath, err)
	}
	// A device or a pipe has no size and may never end.
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, pulperr.Public(pulperr.Invalid, "'%s' is not a regular file", urlPath)
	}
	return f, info, nil
}

func pathError(urlPath string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open %q: %w: %w", urlPath, pulperr.NotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %q: %w: %w", urlPath, pulperr.Forbidden, err)
	// Package os exports no error value for a path that leads out of an os.Root.
	case strings.Contains(err.Error(), "path escapes"):
		return fmt.Errorf("open %q: %w: %w", urlPath, pulperr.Forbidden, err)
	}
	return fmt.Errorf("open %q: %w: %w", urlPath, pulperr.Unavailable, err)
}

// readFile is the one attempt of a file URL. It is not retried: a second attempt would meet the same file.
func (t *transfer) readFile(ctx context.Context) error {
	f, info, err := openImport(t.url.Path, t.c.cfg.AllowedImportPaths)
	if err != nil {
		return err
	}
	defer f.Close()
	resp := &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, ContentLength: info.Size(), Body: http.NoBody,
		Header: http.Header{
			"Content-Length": {strconv.FormatInt(info.Size(), 10)},
			"Last-Modified":  {info.ModTime().UTC().Format(http.TimeFormat)},
		},
	}
	if err := t.begin(resp); err != nil {
		return err
	}
	// The header was made up for begin. In a Result it would look like the answer of a server.
	t.header = nil
	err = t.copy(resp, &ctxReader{ctx: ctx, r: f})
	// The size was read when the file was opened. More or fewer bytes mean that another process writes to the file.
	if errors.Is(err, errCut) || errors.Is(err, errRange) {
		return pulperr.Public(pulperr.Conflict, "'%s' changed while it was read", t.url.Path)
	}
	return err
}

// ctxReader makes reading a file end with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
