package stages_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/storage"
)

// One file that many units declare is downloaded once, whether they come in one batch or in many.
func TestEqualFilesAreFetchedOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		want := map[string]string{}
		for i := range 100 {
			want[fmt.Sprintf("%03d", i)] = "the same bytes"
		}
		up := serve(t, want)
		remote := b.remote("r", up.URL, models.Immediate)
		v := b.sync(stages.DeclarativeVersion{Repository: b.repo("a"), First: up.all(remote)})
		if diff := cmp.Diff(digests(want), b.paths(v)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if got := up.requests(); got != 1 || b.count("core_artifact") != 1 {
			t.Errorf("%d requests and %d artifacts, want 1 and 1", got, b.count("core_artifact"))
		}
		b.sound()
	})
}

// A digest that two units declare differently is downloaded for each, and the wrong one is named.
func TestEqualDigestOtherSize(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "same", "b": "same"})
		remote := b.remote("r", up.URL, models.Immediate)
		wrong := up.unit(remote, "b")
		wrong.Artifacts[0].Artifact.Size = 5
		_, _, err := b.trySync(stages.DeclarativeVersion{Repository: b.repo("a"), First: put(up.unit(remote, "a"), wrong)})
		if want := up.URL + "/b: size is 4 bytes, expected 5"; pulperr.Message(err) != want {
			t.Errorf("message = %q, want %q", pulperr.Message(err), want)
		}
	})
}

// Upstream metadata that names no digest, or only a weak one, does not make every sync download everything.
func TestUnidentifiedFilesAreFetchedOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, nil)
		for i := range 20 {
			up.files[fmt.Sprint(i)] = fmt.Sprint("bytes ", i)
		}
		remote, repo := b.remote("r", up.URL, models.Immediate), b.repo("a")
		size := int64(0)
		first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			for i := range 20 {
				path := fmt.Sprint(i)
				err := out.Put(ctx, &stages.DeclarativeContent{
					Content: &Pack{Name: path}, Artifacts: []*stages.DeclarativeArtifact{{
						Artifact: &models.Artifact{Size: size}, URLs: []string{up.URL + "/" + path}, RelativePath: path,
						Remote: remote,
					}},
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		v := stages.DeclarativeVersion{Repository: repo, First: first}
		b.sync(v)
		if made := b.sync(v); made != nil || up.requests() != 20 {
			t.Errorf("second sync: version %v, %d requests, want none and 20", made, up.requests())
		}
		b.sound()
		size = 7 // the upstream says that the ten saved files of 8 bytes are others
		if _, _, err := b.trySync(v); err == nil || up.requests() == 20 {
			t.Errorf("sync of other sizes = %v after %d requests", err, up.requests())
		}
	})
}

// What is unidentified in a unit is fetched if the unit lacks the file; a deferred unit that becomes immediate is one.
func TestUnidentifiedFileThatIsMissing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa", "b": "bbb"})
		remote, repo := b.remote("r", up.URL, models.Immediate), b.repo("a")
		unit := func(deferred bool, paths ...string) *stages.DeclarativeContent {
			dc := &stages.DeclarativeContent{Content: &Pack{Name: "p"}}
			for _, path := range paths {
				da := artifact(remote, up.URL, path, "")
				da.Artifact, da.Deferred = &models.Artifact{}, deferred
				dc.Artifacts = append(dc.Artifacts, da)
			}
			return dc
		}
		b.sync(stages.DeclarativeVersion{Repository: repo, First: put(unit(true, "a"))})
		b.sync(stages.DeclarativeVersion{Repository: repo, First: put(unit(false, "a", "b"))})
		if diff := cmp.Diff(digests(up.files), b.paths(b.latest(repo))); diff != "" || up.requests() != 2 {
			t.Errorf("%d requests; files (-want +got):\n%s", up.requests(), diff)
		}
	})
}

// Open files are bounded by the remote's downloads, however many files a unit has.
func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t))
	up := serve(t, nil)
	remote := b.remote("r", up.URL, models.Immediate)
	dc := &stages.DeclarativeContent{Content: &Pack{Name: "p"}}
	dir := t.TempDir()
	store, err := storage.Open(t.Context(), "file://"+dir, nil)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	b.store = store
	begun, hold := make(chan struct{}, 300), make(chan struct{})
	for i := range 300 {
		path := fmt.Sprintf("f%04d", i)
		up.files[path] = fmt.Sprint("bytes ", i)
		dc.Artifacts = append(dc.Artifacts, artifact(remote, up.URL, path, up.files[path]))
		body := []byte(up.files[path])
		up.fault[path] = func(w http.ResponseWriter, _ *http.Request) {
			begun <- struct{}{}
			<-hold
			_, _ = w.Write(body)
		}
	}
	go func() {
		defer close(hold)
		for range download.DefaultConcurrency {
			<-begun
		}
		files := 0
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files++
			}
			return nil
		})
		if err != nil || files > download.DefaultConcurrency {
			t.Errorf("%d files are open while %d are downloaded; %v", files, download.DefaultConcurrency, err)
		}
	}()
	b.sync(stages.DeclarativeVersion{Repository: b.repo("a"), First: put(dc)})
	b.sound()
}

// A goroutine that a stage forgot cannot bring the process down.
func TestPutAfterRun(t *testing.T) {
	t.Parallel()
	hold, result := make(chan struct{}), make(chan error, 1)
	forgetful := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		go func() {
			<-hold
			result <- out.Put(ctx, &stages.DeclarativeContent{Content: &Pack{Name: "late"}})
		}()
		return nil
	})
	last := stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
		for dc, err := range in.Items(ctx) {
			t.Errorf("the late unit arrived: %v, %v", dc, err)
		}
		close(hold) // the first stage has ended its output
		if err := <-result; !errors.Is(err, pulperr.Internal) || !strings.Contains(err.Error(), "had returned") {
			t.Errorf("Put = %v, want an error that says so", err)
		}
		return nil
	})
	must(t, stages.Run(t.Context(), 1, forgetful, last))
}

// Units that are put while Run returns either arrive or get an error.
func TestPutWhileRunReturns(t *testing.T) {
	t.Parallel()
	for range 50 {
		var wg sync.WaitGroup
		var accepted, arrived atomic.Int64
		racing := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			for range 10 {
				wg.Go(func() {
					if out.Put(ctx, &stages.DeclarativeContent{Content: &Pack{}}) == nil {
						accepted.Add(1)
					}
				})
			}
			return nil
		})
		count := stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
			for _, err := range in.Items(ctx) {
				if err != nil {
					return err
				}
				arrived.Add(1)
			}
			wg.Wait()
			return nil
		})
		must(t, stages.Run(t.Context(), 1, racing, count))
		if accepted.Load() != arrived.Load() {
			t.Fatalf("%d units were accepted, %d arrived", accepted.Load(), arrived.Load())
		}
	}
}
