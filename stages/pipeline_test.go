package stages_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

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
