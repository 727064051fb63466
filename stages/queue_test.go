package stages_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
)

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	remote := &Remote{}
	da := func(change func(*stages.DeclarativeArtifact)) *stages.DeclarativeContent {
		a := artifact(remote, "http://x", "a", "abc")
		if change != nil {
			change(a)
		}
		return &stages.DeclarativeContent{Content: &Pack{}, Artifacts: []*stages.DeclarativeArtifact{a}}
	}
	many := &stages.DeclarativeContent{Content: &Pack{}}
	for i := range 20 {
		many.Artifacts = append(many.Artifacts, artifact(remote, "http://x", fmt.Sprint(i%19), "abc"))
	}
	twice := da(nil)
	twice.Artifacts = append(twice.Artifacts, artifact(remote, "http://x", "a", "abc"))
	for _, row := range []struct {
		name string
		dc   *stages.DeclarativeContent
		want string
	}{
		{"nil", nil, "needs its Content"},
		{"no content", &stages.DeclarativeContent{}, "needs its Content"},
		{
			"a nil artifact", &stages.DeclarativeContent{
				Content: &Pack{}, Artifacts: []*stages.DeclarativeArtifact{nil},
			}, "needs its Artifact",
		},
		{"no artifact", da(func(a *stages.DeclarativeArtifact) { a.Artifact = nil }), "needs its Artifact"},
		{"no URL", da(func(a *stages.DeclarativeArtifact) { a.URLs = nil }), "needs a URL and a Remote"},
		{"no remote", da(func(a *stages.DeclarativeArtifact) { a.Remote = nil }), "needs a URL and a Remote"},
		{"no path", da(func(a *stages.DeclarativeArtifact) { a.RelativePath = "" }), "canonical form"},
		{"an absolute path", da(func(a *stages.DeclarativeArtifact) { a.RelativePath = "/a" }), "canonical form"},
		{"a path that climbs", da(func(a *stages.DeclarativeArtifact) { a.RelativePath = "a/../b" }), "canonical form"},
		{"a path twice", twice, `The path "a" stands twice`},
		{"a path twice among many", many, `The path "0" stands twice`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := stages.Run(t.Context(), 1, put(row.dc))
			if !errors.Is(err, pulperr.Invalid) || !strings.Contains(pulperr.Message(err), row.want) {
				t.Errorf("Put() = %v, want Invalid with %q", err, row.want)
			}
		})
	}
	saved := da(func(a *stages.DeclarativeArtifact) {
		a.Artifact.ID, a.URLs, a.Remote = models.NewID(), nil, nil
	})
	must(t, stages.Run(t.Context(), 1, put(saved)))
}

func TestBatches(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, row := range []struct {
		name    string
		minSize int
		late    time.Duration // how long the reader lets the units wait
		groups  []int         // units put at second 0, 1, …
		sizes   []int
		at      []time.Duration
	}{
		{"nothing", 3, 0, nil, nil, nil},
		{"waits until there are enough", 3, 0, []int{1, 1, 1}, []int{3}, []time.Duration{2 * second}},
		{"the rest comes at the end", 3, 0, []int{1, 1, 1, 1}, []int{3, 1}, []time.Duration{2 * second, 4 * second}},
		{"takes along what is ready", 3, second / 2, []int{5}, []int{5}, []time.Duration{second / 2}},
		{"up to twice as many", 3, second / 2, []int{8}, []int{6, 2}, []time.Duration{second / 2, second}},
		{"one by one", 1, second / 2, []int{1, 0, 1}, []int{1, 1}, []time.Duration{second / 2, 2 * second}},
		{"500 is the default", 0, 0, []int{499, 1, 1}, []int{500, 1}, []time.Duration{second, 3 * second}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sizes, at, err := batchSizes(t.Context(), row.minSize, row.late, row.groups)
				if err != nil || fmt.Sprint(sizes) != fmt.Sprint(row.sizes) || fmt.Sprint(at) != fmt.Sprint(row.at) {
					t.Errorf("batches of %v at %v, %v; want %v at %v", sizes, at, err, row.sizes, row.at)
				}
			})
		})
	}
}

// batchSizes puts groups of units, one a second, and returns what batches come when.
func batchSizes(ctx context.Context, minSize int, late time.Duration, groups []int) (
	sizes []int, at []time.Duration, err error,
) {
	begin := time.Now()
	err = stages.Run(ctx, 2000, stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		for _, n := range groups {
			for range n {
				if err := out.Put(ctx, bare(0)); err != nil {
					return err
				}
			}
			<-time.After(time.Second)
		}
		return nil
	}), stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
		<-time.After(late)
		for batch, err := range in.Batches(ctx, minSize) {
			if err != nil {
				return err
			}
			sizes, at = append(sizes, len(batch)), append(at, time.Since(begin))
		}
		return nil
	}))
	return sizes, at, err
}

// TestResolutionHurries waits for units in several places of the pipeline. Under synctest a pipeline that waits for
// itself is a deadlock and fails.
func TestResolutionHurries(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{1, 500} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sizes []int
				first := stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
					for i := range 10 {
						before, dc := bare(3*i), bare(3*i+1)
						for _, dc := range []*stages.DeclarativeContent{before, dc} {
							if err := out.Put(ctx, dc); err != nil {
								return err
							}
						}
						if i%2 == 0 {
							synctest.Wait() // the unit sits in a batch now; otherwise it may still be on its way
						}
						got, err := dc.Resolution(ctx)
						if err != nil || got != dc.Content {
							return fmt.Errorf("Resolution() = %v, %w", got, err)
						}
						if _, err := before.Resolution(ctx); err != nil { // at once: it was in front
							return err
						}
					}
					return nil
				})
				last := stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
					for batch, err := range in.Batches(ctx, 500) {
						if err != nil {
							return err
						}
						sizes = append(sizes, len(batch))
					}
					return nil
				})
				err := stages.Run(t.Context(), depth, first, batched(500), stages.Func(pass), batched(500), batched(2),
					stages.ResolveContentFutures{}, last)
				if err != nil {
					t.Fatal(err)
				}
				if len(sizes) != 1 || sizes[0] != 20 {
					t.Errorf("batches of %v behind the resolution, want one: nobody waits any more", sizes)
				}
			})
		})
	}
}

// TestResolutionBeforePut is a stage that lets somebody else wait before it puts.
func TestResolutionBeforePut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dc := bare(1)
		got := make(chan error, 1)
		go func() {
			_, err := dc.Resolution(t.Context())
			got <- err
		}()
		synctest.Wait()
		err := stages.Run(t.Context(), 1, stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			return <-got
		}), batched(500), stages.ResolveContentFutures{})
		must(t, err)
	})
}

func TestResolutionEnds(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	if _, err := bare(1).Resolution(canceled); !errors.Is(err, errTest) {
		t.Errorf("Resolution() with a context that is done = %v, want its cause", err)
	}
	waiting := func(dc *stages.DeclarativeContent, want error) stages.Func {
		return func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			if _, err := dc.Resolution(t.Context()); !errors.Is(err, want) {
				return fmt.Errorf("Resolution() = %w, want %w", err, want)
			}
			return nil
		}
	}
	t.Run("when a stage fails", func(t *testing.T) {
		t.Parallel()
		err := stages.Run(t.Context(), 1, waiting(bare(1), errTest),
			stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
				_ = readOne(ctx, in, nil)
				return errTest
			}))
		if err != errTest { //nolint:errorlint // exactly that one
			t.Errorf("Run() = %v", err)
		}
	})
	t.Run("when a stage leaves the unit out", func(t *testing.T) {
		t.Parallel()
		dc := bare(1)
		must(t, stages.Run(t.Context(), 1, waiting(dc, errTest),
			stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
				for dc, err := range in.Items(ctx) {
					if err != nil {
						return err
					}
					dc.Skip(errTest)
					dc.Skip(nil) // the first reason stays
				}
				return nil
			}), stages.ResolveContentFutures{}))
	})
	t.Run("when no stage resolves it", func(t *testing.T) {
		t.Parallel()
		must(t, stages.Run(t.Context(), 1, waiting(bare(1), pulperr.Internal), stages.Func(pass)))
	})
	t.Run("when the run is over", func(t *testing.T) {
		t.Parallel()
		dc := bare(1)
		must(t, stages.Run(t.Context(), 1, put(dc), stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
			return readOne(ctx, in, nil) // and forgets it
		})))
		if _, err := dc.Resolution(t.Context()); !errors.Is(err, pulperr.Internal) {
			t.Errorf("Resolution() = %v", err)
		}
	})
}
