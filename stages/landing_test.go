package stages_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// between returns the stock stages with one more behind the downloader.
func between(extra stages.Func) func(*tasking.Env, *models.NewVersion, bool) []stages.Stage {
	return func(env *tasking.Env, v *models.NewVersion, mirror bool) []stages.Stage {
		stock := stages.StockStages(env, v, mirror)
		return append([]stages.Stage{stock[0], stock[1], extra}, stock[2:]...)
	}
}

// TestFailedSyncLeavesNoBytes fails a sync after its downloads and before their rows are saved.
func TestFailedSyncLeavesNoBytes(t *testing.T) {
	errBroken := errors.New("broken")
	each(t, func(t *testing.T, b *bench) {
		_, err := landAndEnd(b, func(context.Context) error { return errBroken })
		if !errors.Is(err, errBroken) {
			t.Errorf("the sync ended with %v, want %v", err, errBroken)
		}
	})
}

// TestCanceledSyncLeavesNoBytes cancels a task at that point.
func TestCanceledSyncLeavesNoBytes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		task, err := landAndEnd(b, func(ctx context.Context) error {
			var running models.Task
			if err := b.db.Bun().NewSelect().Model(&running).Where("state = 'running'").Scan(ctx); err != nil {
				return err
			}
			if _, err := b.queue.Cancel(ctx, running.ID); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if task.State != models.Canceled {
			t.Errorf("task is %s, want canceled, %v", task.State, err)
		}
	})
}

// landAndEnd syncs three files, calls end when all were downloaded, and fails the test if bytes are left.
func landAndEnd(b *bench, end func(ctx context.Context) error) (*models.Task, error) {
	b.t.Helper()
	up, repo := serve(b.t, three()), b.repo("r")
	_, task, err := b.trySync(stages.DeclarativeVersion{
		Repository: repo, First: up.all(b.remote("up", up.URL, models.Immediate)),
		Pipeline: between(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
			for _, err := range in.Items(ctx) {
				if err != nil {
					return err
				}
			}
			return end(ctx)
		}),
	})
	b.undone(repo, 0, map[string]string{})
	for a, err := range b.store.List(b.t.Context(), "artifact") {
		b.t.Errorf("%s was left behind, %v", a.Key, err)
	}
	return task, err
}

// TestBytesRemovedBeforeTheirRow removes, as another sync that fails would, what was downloaded: it is fetched again.
func TestBytesRemovedBeforeTheirRow(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, three())
		v := stages.DeclarativeVersion{
			Repository: b.repo("r"), First: up.all(b.remote("up", up.URL, models.Immediate)),
			Pipeline: between(func(ctx context.Context, in *stages.In, out *stages.Out) error {
				for dc, err := range in.Items(ctx) {
					if err != nil {
						return err
					}
					digest := dc.Artifacts[0].Artifact.SHA256
					if n, err := models.RemoveStray(ctx, b.db, b.store, []string{digest, digest}); n != 1 || err != nil {
						t.Errorf("RemoveStray() = %d, %v, want 1", n, err)
					}
					if err := out.Put(ctx, dc); err != nil {
						return err
					}
				}
				return nil
			}),
		}
		b.sync(v)
		b.sound()
	})
}

// TestUnitWithOtherBytes syncs a unit that exists from a source that has another file of its name.
func TestUnitWithOtherBytes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "good", "b": "evil", "c": "new"})
		remote := b.remote("up", up.URL, models.Immediate)
		unit := func(path, from, body string) *stages.DeclarativeContent {
			dc := up.unit(remote, path)
			dc.Artifacts[0] = artifact(remote, up.URL, from, body)
			dc.Artifacts[0].RelativePath = path
			return dc
		}
		v := stages.DeclarativeVersion{Repository: b.repo("r"), First: put(unit("a", "a", "good"))}
		want := b.paths(b.sync(v))
		v.First = put(unit("a", "b", "evil"), unit("c", "c", "new"))
		if _, _, err := b.trySync(v); !errors.Is(err, pulperr.Conflict) {
			t.Errorf("sync of other bytes = %v, want Conflict", err)
		}
		var left []string
		v.OnError = func(_ context.Context, dc *stages.DeclarativeContent, err error) error {
			if _, ok := errors.AsType[*models.FileConflictError](err); !ok {
				return err
			}
			left = append(left, dc.Content.(*File).Path)
			return nil
		}
		got := b.paths(b.sync(v))
		if len(left) != 1 || left[0] != "a" || got["a"] != want["a"] || got["c"] == "" {
			t.Errorf("left out %v; files %v, want a as in %v, and c", left, got, want)
		}
	})
}
