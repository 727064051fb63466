package tasking

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// workDir is the directory of one task.
type workDir struct {
	mu     sync.Mutex
	root   *os.Root
	given  string // where another process has made it and will remove it; "" makes it here
	closed bool
}

func (d *workDir) open(w *Worker, c *claimed) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openLocked(w, c)
}

func (d *workDir) openLocked(w *Worker, c *claimed) (*os.Root, error) {
	switch {
	case d.closed:
		return nil, fmt.Errorf("tasking: work directory: the task has ended: %w", pulperr.Conflict)
	case d.root != nil:
		return d.root, nil
	case d.given == "" && w.opts.WorkDir == "":
		return nil, pulperr.Public(pulperr.Invalid, "the worker has no WorkDir")
	}
	path := d.given
	var err error
	if path == "" {
		path = filepath.Join(w.dir(*c.WorkerID), fmt.Sprintf("%s.%d", c.ID, c.Attempt))
		err = os.MkdirAll(path, 0o700)
	}
	if err == nil {
		d.root, err = os.OpenRoot(path)
	}
	if err != nil {
		return nil, fmt.Errorf("tasking: work directory: %w: %w", pulperr.Unavailable, err)
	}
	return d.root, nil
}

func (e *Env) removeWorkDir() {
	d := &e.work
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.root == nil {
		return
	}
	path := d.root.Name()
	err := d.root.Close()
	if d.given == "" {
		err = errors.Join(err, removeAll(path))
	}
	if err != nil {
		e.Log.Warn("work directory stays", "path", path, "err", err)
	}
}

// removeAll removes a tree, read-only directories included.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && err == nil {
			_ = os.Chmod(p, 0o700) //nolint:gosec // a directory; WalkDir reads it after this
		}
		return nil
	})
	return os.RemoveAll(path)
}

// dir is the directory of a worker: its name tells which installation and which row it belongs to.
func (w *Worker) dir(worker uuid.UUID) string {
	return filepath.Join(w.opts.WorkDir, w.installation()+"."+worker.String())
}

// removeDir removes the directory of a worker that has ended.
func (w *Worker) removeDir(worker uuid.UUID) error {
	if w.opts.WorkDir == "" {
		return nil
	}
	return removeAll(w.dir(worker))
}

// sweepDirs removes the directories of workers that are gone.
func (w *Worker) sweepDirs(ctx context.Context) error {
	if w.opts.WorkDir == "" {
		return nil
	}
	entries, err := os.ReadDir(w.opts.WorkDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tasking: work directories: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		id, ok := strings.CutPrefix(entry.Name(), w.installation()+".")
		worker, err := uuid.Parse(id)
		if !ok || err != nil {
			continue
		}
		if _, err := w.q.Worker(ctx, worker); errors.Is(err, pulperr.NotFound) {
			faults = append(faults, removeAll(filepath.Join(w.opts.WorkDir, entry.Name())))
		} else if err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}
