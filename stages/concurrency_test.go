package stages_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// TestOverlappingSyncs syncs the same units into several repositories at the same time, from several remotes, each in
// another order: first units that nobody has, then the same with bytes and from other URLs.
func TestOverlappingSyncs(t *testing.T) {
	const repositories, units = 4, 520
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, nil)
		for i := range units {
			up.files[fmt.Sprintf("dir-%d/file-%d", i%7, i)] = fmt.Sprint("body ", i%(units-10))
		}
		var names []string
		for path := range up.files {
			names = append(names, path)
		}
		for round, policy := range []models.Policy{models.OnDemand, models.Immediate} {
			var ids []uuid.UUID
			var made []*Repo
			for i := range repositories {
				remote := b.remote(fmt.Sprint("remote", round, i%3, i), up.URL, policy)
				repo, order := b.repo(fmt.Sprint("repo", round, i)), rand.New(rand.NewPCG(uint64(round), uint64(i)))
				first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
					for _, at := range order.Perm(len(names)) {
						dc := up.unit(remote, names[at])
						dc.Artifacts[0].URLs[0] += fmt.Sprint("?", i)
						if err := out.Put(ctx, dc); err != nil {
							return err
						}
					}
					return nil
				})
				made = append(made, repo)
				ids = append(ids, b.dispatch(func(ctx context.Context, env *tasking.Env) error {
					_, _, err := stages.DeclarativeVersion{Repository: repo, First: first, Mirror: true}.Create(ctx, env)
					return err
				}, repo.Name))
			}
			b.runAll(repositories)
			for i, id := range ids {
				task, err := b.queue.Get(t.Context(), id)
				must(t, err)
				if task.State != models.Completed {
					t.Fatalf("task %d is %s: %+v", i, task.State, task.Error)
				}
				if diff := cmp.Diff(digests(up.files), b.paths(b.latest(made[i]))); diff != "" {
					t.Errorf("files of repository %d (-want +got):\n%s", i, diff)
				}
			}
		}
		for table, want := range map[string]int{
			"core_content": units, "core_contentartifact": units, "core_artifact": units - 10,
			"core_remoteartifact": 2 * repositories * units,
		} {
			if n := b.count(table); n != want {
				t.Errorf("%s has %d rows, want %d", table, n, want)
			}
		}
		b.sound()
	})
}

// runAll executes what is dispatched with n workers side by side.
func (b *bench) runAll(n int) {
	b.t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		w := b.worker()
		wg.Go(func() { errs[i] = w.RunPending(b.t.Context()) })
	}
	wg.Wait()
	for _, err := range errs {
		must(b.t, err)
	}
}

// TestMemoryIsBounded syncs 10,000 units whose declarations weigh 16 KiB each, 160 MB together, and looks at the heap
// on the way.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("syncs 10,000 units")
	}
	const units, weight, bound = 10_000, 16 << 10, 80 << 20
	// Not parallel, because the heap is everybody's.
	url := "sqlite:" + t.TempDir() + "/test.db?_pragma=synchronous(OFF)"
	b := setup(t, url)
	remote := b.remote("up", "http://127.0.0.1:1", models.OnDemand)
	base := heap()
	var peak atomic.Int64
	first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		for i := range units {
			dc := declare(remote, remote.URL, fmt.Sprint("file-", i), fmt.Sprint(i))
			dc.Extra = make([]byte, weight)
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			if i%1000 == 999 {
				peak.Store(max(peak.Load(), heap()-base))
			}
		}
		return nil
	})
	v := b.sync(stages.DeclarativeVersion{Repository: b.repo("r"), First: first, Mirror: true, Depth: 50})
	if counts, err := v.Counts(t.Context(), b.db); err != nil || counts["test.file"].Present != units {
		t.Errorf("units: %+v, %v", counts, err)
	}
	t.Logf("%d MB at most", peak.Load()>>20)
	if got := peak.Load(); got > bound {
		t.Errorf("%d MB are held while %d MB of units pass, want at most %d MB", got>>20, units*weight>>20, bound>>20)
	}
}

// heap returns how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
