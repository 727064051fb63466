package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/disktest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestWorkDirFull does not run beside others, as disktest wants it.
func TestWorkDirFull(t *testing.T) {
	dir := disktest.Small(t, "size=1m,nr_inodes=10")
	b := setup(t, dbtest.SQLite(t), "")
	var full, inodes error
	w := b.worker(worker.Options{WorkDir: dir, Bindings: []tasking.Binding{scratch.Bind(
		func(ctx context.Context, env *tasking.Env, a noArgs) error {
			full = wantFull(ctx, env, a)
			for range 20 {
				root, err := env.MkdirTemp("x")
				if err != nil {
					inodes = err
					break
				}
				_ = root.Close()
			}
			return fmt.Errorf("both: %w", errors.Join(full, inodes))
		})}})
	for range 2 { // the second time shows that the first one's files are gone
		b.runScratch(w, models.Failed)
		if !errors.Is(full, syscall.ENOSPC) {
			t.Errorf("write = %v, want ENOSPC", full)
		}
		if !errors.Is(inodes, syscall.ENOSPC) || !errors.Is(inodes, pulperr.Unavailable) {
			t.Errorf("MkdirTemp() = %v, want Unavailable, ENOSPC", inodes)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}
