package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// gate lets a test see and delay the writes of a Writer.
type gate struct {
	mu      sync.Mutex
	batches [][]int
	entered chan struct{}
	open    chan error
}

func (g *gate) write(ctx context.Context, items []int) ([]int, error) {
	g.mu.Lock()
	g.batches = append(g.batches, slices.Clone(items))
	g.mu.Unlock()
	g.entered <- struct{}{}
	select {
	case err := <-g.open:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out := make([]int, len(items))
	for i, n := range items {
		out[i] = -n
	}
	return out, nil
}

func newGate(limit int, isItemError func(error) bool) (*gate, *Writer[int, int]) {
	g := &gate{entered: make(chan struct{}, 100), open: make(chan error, 100)}
	return g, &Writer[int, int]{Limit: limit, Write: g.write, IsItemError: isItemError}
}

func never(error) bool  { return false }
func always(error) bool { return true }

func TestWriterWritesTogetherWhatArrivesMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(3, never)
		var wg sync.WaitGroup
		start := func(n int) {
			wg.Go(func() {
				if got, err := b.Do(t.Context(), n); err != nil || got != -n {
					t.Errorf("do(%d) = %d, %v", n, got, err)
				}
			})
			synctest.Wait()
		}
		for n := 1; n <= 6; n++ {
			start(n)
		}
		for range 3 {
			<-g.entered
			g.open <- nil
		}
		wg.Wait()
		want := [][]int{{1}, {2, 3, 4}, {5, 6}}
		if !slices.EqualFunc(g.batches, want, slices.Equal) {
			t.Errorf("batches = %v, want %v", g.batches, want)
		}
		if b.writing || b.queue != nil {
			t.Error("the writer is not idle at the end")
		}
	})
}

func TestWriterBlamesOneItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(10, always)
		wrong := errors.New("wrong")
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for n := range 4 {
			wg.Go(func() { _, errs[n] = b.Do(t.Context(), n) })
			synctest.Wait()
		}
		// The first alone, then the other three together, then each of them by itself.
		for _, err := range []error{nil, wrong, nil, wrong, nil} {
			g.open <- err
		}
		wg.Wait()
		for n, want := range []error{nil, nil, wrong, nil} {
			if !errors.Is(errs[n], want) {
				t.Errorf("item %d = %v, want %v", n, errs[n], want)
			}
		}
	})
}

func TestWriterGivesAnErrorOfAllToAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(10, never)
		down := errors.New("down")
		var wg sync.WaitGroup
		for n := range 3 {
			wg.Go(func() {
				if _, err := b.Do(t.Context(), n); !errors.Is(err, down) {
					t.Errorf("item %d = %v, want %v", n, err, down)
				}
			})
			synctest.Wait()
		}
		g.open <- down
		g.open <- down
		wg.Wait()
	})
}

func TestWriterCallersMayLeave(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	t.Run("while queued", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, b := newGate(10, never)
			ctx, cancel := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = b.Do(t.Context(), 1) })
			synctest.Wait()
			wg.Go(func() {
				if _, err := b.Do(ctx, 2); !errors.Is(err, enough) {
					t.Errorf("do() = %v, want %v", err, enough)
				}
			})
			synctest.Wait()
			cancel(enough)
			synctest.Wait()
			g.open <- nil
			wg.Wait()
			if len(g.batches) != 1 {
				t.Errorf("batches = %v, want the first alone", g.batches)
			}
		})
	})
	t.Run("when all of a batch have", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, b := newGate(10, never)
			ctx, cancel := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := b.Do(ctx, 1); !errors.Is(err, enough) {
					t.Errorf("do() = %v, want %v", err, enough)
				}
			})
			synctest.Wait()
			wg.Go(func() { // comes later and is written although the first has gone
				if got, err := b.Do(t.Context(), 2); err != nil || got != -2 {
					t.Errorf("do() = %d, %v", got, err)
				}
			})
			synctest.Wait()
			cancel(enough)
			synctest.Wait()
			g.open <- nil
			wg.Wait()
		})
	})
}

func TestWriterWeighsItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(10, never)
		b.Weight = func(n int) int { return n }
		var wg sync.WaitGroup
		for _, n := range []int{1, 4, 6, 11, 5, 5, 1} {
			wg.Go(func() { _, _ = b.Do(t.Context(), n) })
			synctest.Wait()
		}
		for range 5 {
			g.open <- nil
		}
		wg.Wait()
		want := [][]int{{1}, {4, 6}, {11}, {5, 5}, {1}}
		if !slices.EqualFunc(g.batches, want, slices.Equal) {
			t.Errorf("batches = %v, want %v", g.batches, want)
		}
	})
}

func TestWriterGivesUpAWriteThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(10, never)
		if _, err := b.Do(context.Background(), 1); !errors.Is(err, errWriteTimeout) {
			t.Errorf("do() = %v, want %v", err, errWriteTimeout)
		}
		b.Write = func(ctx context.Context, _ []int) ([]int, error) { // as database drivers do
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if _, err := b.Do(context.Background(), 1); !errors.Is(err, pulperr.Unavailable) || errors.Is(err, context.Canceled) {
			t.Errorf("do() = %v, want Unavailable and not canceled", err)
		}
		b.Write = g.write
		g.open <- nil
		if got, err := b.Do(t.Context(), 2); err != nil || got != -2 {
			t.Errorf("the next one = %d, %v", got, err)
		}
	})
}

func TestWriterSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inside, open := make(chan struct{}), make(chan struct{})
		b := &Writer[int, int]{Limit: 10, IsItemError: never, Write: func(_ context.Context, items []int) ([]int, error) {
			if items[0] == 1 {
				close(inside)
				<-open
			}
			if len(items) == 2 {
				panic("write")
			}
			return items, nil
		}}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Do(t.Context(), 1) })
		<-inside
		wg.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = b.Do(t.Context(), 2)
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := b.Do(t.Context(), 3); !errors.Is(err, errUnwritten) {
				t.Errorf("do() = %v, want %v", err, errUnwritten)
			}
		})
		synctest.Wait()
		close(open)
		wg.Wait()
		if got, err := b.Do(t.Context(), 4); err != nil || got != 4 {
			t.Errorf("the next one = %d, %v", got, err)
		}
	})
}

func TestBatchHasTheLatestDeadlineOfItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		short, stopShort := context.WithDeadline(t.Context(), now.Add(time.Second))
		defer stopShort()
		long, stopLong := context.WithDeadline(t.Context(), now.Add(2*time.Second))
		defer stopLong()
		for name, tt := range map[string]struct {
			callers []context.Context
			want    time.Time // zero is none
		}{
			"all have one":      {[]context.Context{short, long, short}, now.Add(2 * time.Second)},
			"one is left alone": {[]context.Context{short, t.Context()}, time.Time{}},
		} {
			var batch []*pending[int, int]
			for _, ctx := range tt.callers {
				batch = append(batch, &pending[int, int]{ctx: ctx})
			}
			ctx, stop := joinContexts(batch)
			got, ok := ctx.Deadline()
			stop()
			if ok == tt.want.IsZero() || !got.Equal(tt.want) {
				t.Errorf("%s: the deadline is %v, %v, want %v", name, got.Sub(now), ok, tt.want.Sub(now))
			}
		}
	})
}
