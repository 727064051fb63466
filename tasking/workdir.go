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

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// workDir is the directory of one attempt.
type workDir struct {
	dirs *workDirs
	task *taskdb.Claimed

	mu     sync.Mutex
	root   *os.Root
	given  string // where another process has made it and will remove it; "" makes it here
	closed bool
}

func (d *workDir) open() (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openLocked()
}

func (d *workDir) openLocked() (*os.Root, error) {
	switch {
	case d.closed:
		return nil, fmt.Errorf("tasking: work directory: the task has ended: %w", pulperr.Conflict)
	case d.root != nil:
		return d.root, nil
	case d.given == "" && d.dirs.root == "":
		return nil, pulperr.Public(pulperr.Invalid, "the worker has no WorkDir")
	}
	path := d.given
	var err error
	if path == "" {
		path = filepath.Join(d.dirs.of(*d.task.WorkerID), fmt.Sprintf("%s.%d", d.task.ID, d.task.Attempt))
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

// removeDir removes the directory of an attempt that has ended.
func (a *attempt) removeDir() {
	d := &a.dir
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
		a.log.Warn("work directory stays", "path", path, "err", err)
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

// workDirs are the directories of all workers below one root. The name of each has the installation and the worker's
// row.
type workDirs struct {
	db           *models.DB
	root         string // "" makes no directories
	installation func() string
}

// of returns the directory of a worker.
func (d *workDirs) of(worker uuid.UUID) string {
	return filepath.Join(d.root, d.installation()+"."+worker.String())
}

// remove removes the directory of a worker that has ended.
func (d *workDirs) remove(worker uuid.UUID) error {
	if d.root == "" {
		return nil
	}
	return removeAll(d.of(worker))
}

// sweep removes the directories of workers that are gone.
func (d *workDirs) sweep(ctx context.Context) error {
	if d.root == "" {
		return nil
	}
	entries, err := os.ReadDir(d.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tasking: work directories: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		id, ok := strings.CutPrefix(entry.Name(), d.installation()+".")
		worker, err := uuid.Parse(id)
		if !ok || err != nil {
			continue // of another installation, or not of a worker
		}
		exists, err := taskdb.WorkerExists(ctx, taskdb.On(d.db), worker)
		if err != nil {
			return taskdb.Wrap(err, "read worker %s", worker)
		}
		if !exists {
			faults = append(faults, removeAll(filepath.Join(d.root, entry.Name())))
		}
	}
	return errors.Join(faults...)
}
