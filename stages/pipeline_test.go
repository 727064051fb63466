package stages_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
)

// source puts n bare units.
func source(n int) stages.Func {
	return func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		for i := range n {
			if err := out.Put(ctx, bare(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func bare(i int) *stages.DeclarativeContent {
	return &stages.DeclarativeContent{Content: &Pack{Name: fmt.Sprint("pack ", i)}}
}

// pass hands on one by one.
func pass(ctx context.Context, in *stages.In, out *stages.Out) error {
	for dc, err := range in.Items(ctx) {
		if err != nil {
			return err
		}
		if err := out.Put(ctx, dc); err != nil {
			return err
		}
	}
	return nil
}

// batched hands on in batches.
func batched(minSize int) stages.Func {
	return func(ctx context.Context, in *stages.In, out *stages.Out) error {
		for batch, err := range in.Batches(ctx, minSize) {
			if err != nil {
				return err
			}
			for _, dc := range batch {
				if err := out.Put(ctx, dc); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// recorder counts what comes in and notes how its input ended.
type recorder struct {
	units atomic.Int64
	ended atomic.Bool // by a real end
	err   atomic.Pointer[error]
}

func (r *recorder) Run(ctx context.Context, in *stages.In, _ *stages.Out) error {
	for _, err := range in.Batches(ctx, 1) {
		if err != nil {
			r.err.Store(&err)
			return err
		}
		r.units.Add(1)
	}
	r.ended.Store(true)
	return nil
}

func TestRunMovesEveryUnit(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{0, 1, 7, 500} {
		for _, n := range []int{0, 1, 499, 2001} {
			t.Run(fmt.Sprintf("%d units, depth %d", n, depth), func(t *testing.T) {
				t.Parallel()
				got := 0
				last := stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
					for dc, err := range in.Items(ctx) {
						if err != nil {
							return err
						}
						if want := fmt.Sprint("pack ", got); dc.Content.(*Pack).Name != want {
							return fmt.Errorf("unit %q came, want %q", dc.Content.(*Pack).Name, want)
						}
						got++
					}
					return nil
				})
				err := stages.Run(t.Context(), depth, source(n), stages.Func(pass), batched(3), batched(0), last)
				if err != nil || got != n {
					t.Errorf("Run() = %v with %d units, want %d", err, got, n)
				}
			})
		}
	}
}

// TestFailureIsNeverAnEnd lets a stage fail in each position, in each way, and at each time. The first error wins, and
// no stage behind it sees an end.
func TestFailureIsNeverAnEnd(t *testing.T) {
	t.Parallel()
	faults := map[string]func(stop context.CancelCauseFunc) error{
		"error":  func(context.CancelCauseFunc) error { return errTest },
		"panic":  func(context.CancelCauseFunc) error { panic("the test's own panic") },
		"goexit": func(context.CancelCauseFunc) error { runtime.Goexit(); return nil },
		"ctx":    func(stop context.CancelCauseFunc) error { stop(errTest); return nil },
	}
	const length, units = 5, 40
	for name, fault := range faults {
		for at := range length - 1 {
			for _, after := range []int{0, 1, 17, units} {
				t.Run(fmt.Sprintf("%s in stage %d after %d units", name, at, after), func(t *testing.T) {
					t.Parallel()
					ctx, stop := context.WithCancelCause(t.Context())
					defer stop(nil)
					end := &recorder{}
					var line []stages.Stage
					for i := range length - 1 {
						line = append(line, failing(i == at, after, units, i == 0, func() error { return fault(stop) }))
					}
					err := stages.Run(ctx, 1, append(line, end)...)
					if end.ended.Load() {
						t.Error("the last stage took the failure for an end")
					}
					checkFault(t, name, err)
					if got := end.err.Load(); got == nil || (*got).Error() != err.Error() {
						t.Errorf("the last stage saw %v, Run() = %v", got, err)
					}
				})
			}
		}
	}
}

// failing returns a stage that fails after some units, if it is the one, and passes units on until then.
func failing(it bool, after, units int, first bool, fail func() error) stages.Stage {
	return stages.Func(func(ctx context.Context, in *stages.In, out *stages.Out) error {
		seen := 0
		step := func(dc *stages.DeclarativeContent) error {
			if it && seen == after {
				if err := fail(); err != nil {
					return err
				}
			}
			seen++
			return out.Put(ctx, dc)
		}
		if first {
			for i := range units {
				if err := step(bare(i)); err != nil {
					return err
				}
			}
		}
		for dc, err := range in.Items(ctx) {
			if err != nil {
				return err
			}
			if err := step(dc); err != nil {
				return err
			}
		}
		if it && seen == after {
			return fail()
		}
		return nil
	})
}

func checkFault(t *testing.T, name string, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Error("Run() = nil")
	case (name == "error" || name == "ctx") && !errors.Is(err, errTest):
		t.Errorf("Run() = %v, want %v", err, errTest)
	case name == "panic" && (!strings.Contains(err.Error(), "the test's own panic") ||
		!strings.Contains(err.Error(), "pipeline_test.go") || pulperr.Message(err) != "internal error"):
		t.Errorf("Run() = %v (for clients %q), want the panic with its stack, and nothing for clients",
			err, pulperr.Message(err))
	case name == "goexit" && !strings.Contains(err.Error(), "Goexit"):
		t.Errorf("Run() = %v, want one that names Goexit", err)
	}
}

// TestCutWithForeignContext is a stage that by mistake reads and puts with another context than its own.
func TestCutWithForeignContext(t *testing.T) {
	t.Parallel()
	foreign := t.Context()
	ended := false
	err := stages.Run(t.Context(), 1,
		stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			for i := range 10 {
				if err := out.Put(ctx, bare(i)); err != nil {
					return err
				}
			}
			return errTest
		}),
		stages.Func(func(_ context.Context, in *stages.In, out *stages.Out) error {
			for batch, err := range in.Batches(foreign, 3) {
				if err != nil {
					return err
				}
				for _, dc := range batch {
					if err := out.Put(foreign, dc); err != nil {
						return err
					}
				}
			}
			ended = true
			return nil
		}),
		stages.Func(func(_ context.Context, in *stages.In, _ *stages.Out) error {
			for _, err := range in.Items(foreign) {
				if err != nil {
					return err
				}
			}
			ended = true
			return nil
		}),
	)
	if !errors.Is(err, errTest) || ended {
		t.Errorf("Run() = %v, ended %v", err, ended)
	}
}

func TestFirstErrorWins(t *testing.T) {
	t.Parallel()
	other := errors.New("another error")
	for range 50 {
		failed := make(chan struct{})
		err := stages.Run(t.Context(), 1,
			stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
				<-failed
				<-ctx.Done()
				return fmt.Errorf("because of that: %w", other)
			}),
			stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
				for _, err := range in.Items(ctx) {
					if err != nil {
						return fmt.Errorf("a reader: %w", err)
					}
				}
				return nil
			}),
			stages.Func(func(context.Context, *stages.In, *stages.Out) error {
				defer close(failed)
				return errTest
			}),
		)
		if err != errTest { //nolint:errorlint // exactly that one
			t.Fatalf("Run() = %v, want %v", err, errTest)
		}
	}
}

func TestCanceledIsNotDone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	err := stages.Run(ctx, 1, source(3), stages.Func(func(ctx context.Context, in *stages.In, _ *stages.Out) error {
		for _, err := range in.Items(ctx) {
			if err != nil {
				return err
			}
		}
		cancel(errTest) // all is read, but somebody asked for the end before Run returned
		return nil
	}))
	if !errors.Is(err, errTest) {
		t.Errorf("Run() = %v, want %v", err, errTest)
	}
	if err := stages.Run(ctx, 1, source(1)); !errors.Is(err, errTest) {
		t.Errorf("Run() with a context that is done = %v, want %v", err, errTest)
	}
}

// TestStageThatReturnsEarly does not read its input. The stages before it go on, and those who wait for a unit that it
// left are told.
func TestStageThatReturnsEarly(t *testing.T) {
	t.Parallel()
	early := map[string]stages.Stage{
		"at once":       stages.Func(func(context.Context, *stages.In, *stages.Out) error { return nil }),
		"after reading": stages.Func(readOne),
	}
	for name, s := range early {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			put := 0
			end := &recorder{}
			err := stages.Run(t.Context(), 1,
				stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
					for i := range 100 {
						dc := bare(i)
						if err := out.Put(ctx, dc); err != nil {
							return err
						}
						if i > 0 {
							if _, err := dc.Resolution(ctx); !errors.Is(err, pulperr.Internal) {
								return fmt.Errorf("Resolution() = %w, want a fault of the program", err)
							}
						}
						put++
					}
					return nil
				}), s, end)
			if err != nil || put != 100 || !end.ended.Load() {
				t.Errorf("Run() = %v after %d units, ended %v", err, put, end.ended.Load())
			}
		})
	}
}

func readOne(ctx context.Context, in *stages.In, _ *stages.Out) error {
	for _, err := range in.Items(ctx) {
		return err
	}
	return nil
}

// TestEarlyReturnAndLateFailure is a stage that has ended well before the one in front of it fails.
func TestEarlyReturnAndLateFailure(t *testing.T) {
	t.Parallel()
	end := &recorder{}
	err := stages.Run(t.Context(), 1,
		stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
			for i := range 20 {
				if err := out.Put(ctx, bare(i)); err != nil {
					return err
				}
			}
			return errTest
		}),
		stages.Func(func(context.Context, *stages.In, *stages.Out) error { return nil }),
		end)
	if !errors.Is(err, errTest) || end.ended.Load() {
		t.Errorf("Run() = %v, ended %v", err, end.ended.Load())
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	one := &recorder{}
	var none *recorder
	for name, line := range map[string][]stages.Stage{
		"no stage":        nil,
		"nil":             {source(1), nil},
		"a nil pointer":   {source(1), none},
		"one stage twice": {source(1), one, stages.Func(pass), one},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := stages.Run(t.Context(), 1, line...); !errors.Is(err, pulperr.Invalid) {
				t.Errorf("Run() = %v, want Invalid", err)
			}
		})
	}
	f := stages.Func(pass)
	err := stages.Run(t.Context(), 1, source(1), f, f, stages.ResolveContentFutures{}, stages.ResolveContentFutures{})
	if err != nil {
		t.Errorf("Run() with stages that have no state twice = %v", err)
	}
}

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
