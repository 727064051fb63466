package attempt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// WorkDir is the directory of one attempt.
type WorkDir struct {
	dirs *WorkDirs
	task *taskdb.Claimed

	mu     sync.Mutex
	opened *os.Root
	given  string // where another process has made it and will remove it; "" makes it here
	closed bool
}

// Open returns the directory and makes it at the first call.
//
// Errors: Invalid if the worker has no place for it; Unavailable, with the system's error; Conflict once the attempt
// has ended.
func (d *WorkDir) Open() (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openLocked()
}

func (d *WorkDir) openLocked() (*os.Root, error) {
	switch {
	case d.closed:
		return nil, fmt.Errorf("tasking: work directory: the task has ended: %w", pulperr.Conflict)
	case d.opened != nil:
		return d.opened, nil
	case d.given == "" && d.dirs.Root == "":
		return nil, pulperr.Public(pulperr.Invalid,
			"the worker has no work directory; set worker.Options.WorkDir, in an App WORKING_DIRECTORY")
	}
	path := d.given
	var err error
	if path == "" {
		// The attempt is a part of the name, so that a function never finds files of an earlier one.
		path = filepath.Join(d.dirs.of(*d.task.WorkerID), fmt.Sprintf("%s.%d", d.task.ID, d.task.Attempt))
		err = os.MkdirAll(path, 0o700)
	}
	if err == nil {
		d.opened, err = os.OpenRoot(path)
	}
	if err != nil {
		return nil, fmt.Errorf("tasking: work directory: %w: %w", pulperr.Unavailable, err)
	}
	return d.opened, nil
}

// Use returns the directory of a task that another process has made and will remove.
func (d *WorkDir) Use(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.given = path
}

// Within calls fn with the path of the directory, which stays until fn has returned.
func (d *WorkDir) Within(fn func(path string) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := d.openLocked()
	if err != nil {
		return err
	}
	return fn(root.Name())
}

// Remove removes the directory of an attempt that has ended.
func (d *WorkDir) Remove(log *slog.Logger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Also without a directory: a goroutine that the function left behind must not make one now.
	d.closed = true
	if d.opened == nil {
		return
	}
	path := d.opened.Name()
	err := d.opened.Close()
	if d.given == "" {
		err = errors.Join(err, RemoveAll(path))
	}
	if err != nil {
		log.Warn("work directory could not be removed", "path", path, "err", err)
	}
}

// RemoveAll removes a tree, read-only directories included.
func RemoveAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	// An error here shows again in the second RemoveAll.
	_ = filepath.WalkDir(path, func(p string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && err == nil {
			_ = os.Chmod(p, 0o700) //nolint:gosec // a directory; WalkDir reads it after this
		}
		return nil
	})
	return os.RemoveAll(path)
}

// WorkDirs are the directories of all workers below one root. The name of each has the installation and the worker's
// row.
type WorkDirs struct {
	DB           *models.DB
	Root         string // "" makes no directories
	Installation func() string
}

// of returns the directory of a worker.
func (d *WorkDirs) of(worker uuid.UUID) string {
	return filepath.Join(d.Root, d.Installation()+"."+worker.String())
}

// Remove removes the directory of a worker that has ended.
func (d *WorkDirs) Remove(worker uuid.UUID) error {
	if d.Root == "" {
		return nil
	}
	return RemoveAll(d.of(worker))
}

// Sweep removes the directories of workers that are gone.
func (d *WorkDirs) Sweep(ctx context.Context) error {
	if d.Root == "" {
		return nil
	}
	entries, err := os.ReadDir(d.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tasking: work directories: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		id, ok := strings.CutPrefix(entry.Name(), d.Installation()+".")
		worker, err := uuid.Parse(id)
		if !ok || err != nil {
			continue // of another installation, or not of a worker
		}
		// As long as a worker has a row, it may use its directory, also if it is suspended at the moment.
		exists, err := taskdb.WorkerExists(ctx, taskdb.On(d.DB), worker)
		if err != nil {
			return taskdb.Wrap(err, "read worker %s", worker)
		}
		if !exists {
			faults = append(faults, RemoveAll(filepath.Join(d.Root, entry.Name())))
		}
	}
	return errors.Join(faults...)
}
