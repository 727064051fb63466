// Package stages turns what a plugin declares about upstream content into a new repository version.
//
// A sync is a line of stages. The plugin writes the first one: it reads the remote's metadata and puts one
// [DeclarativeContent] per unit. The stock stages behind it find out what exists already, download what is missing,
// save artifacts and units in bulk, and associate them with the version. [DeclarativeVersion] puts the line together:
//
//	version := stages.DeclarativeVersion{Repository: repo, First: &manifest{…}, Mirror: args.Mirror}
//	created, err := version.Create(ctx, env)
//
// A stream that was cut is never taken for one that ended: when a stage fails, every stage behind it sees the failure
// instead of the end, so a mirror never removes content because a download broke off.
package stages

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Stage is one step of a pipeline. Run reads units from in, and puts into out what the next stage shall see; returning
// nil ends its output. The first stage has an empty in, what the last stage puts is dropped.
//
// Run must pass on the error of In's iterators and of Out.Put. It may start goroutines if it waits for them.
// Mirrors pulpcore.plugin.stages.Stage.
type Stage interface {
	Run(ctx context.Context, in *In, out *Out) error
}

// Func makes a function a [Stage].
type Func func(ctx context.Context, in *In, out *Out) error

// Run calls f.
func (f Func) Run(ctx context.Context, in *In, out *Out) error { return f(ctx, in, out) }

// DefaultDepth is a good number of units between two stages: enough to keep both busy.
const DefaultDepth = 500

// Run runs the stages side by side, each feeding the next through a queue of at most depth units (0 means
// [DefaultDepth]), until all have returned. Units that no stage reads are drained. The first error cancels the context
// of all stages and is returned; if ctx itself ends, that is its cause.
//
// Errors: Invalid if there is no stage or one is given twice. Mirrors pulpcore.plugin.stages.create_pipeline.
func Run(ctx context.Context, depth int, stages ...Stage) error {
	if depth <= 0 {
		depth = DefaultDepth
	}
	if len(stages) == 0 {
		return fmt.Errorf("stages: run: there is no stage: %w", pulperr.Invalid)
	}
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	thaw := newThaw()
	in := &In{ch: make(chan *DeclarativeContent), thaw: thaw}
	close(in.ch)
	var wg sync.WaitGroup
	for _, s := range stages {
		out := &Out{ch: make(chan *DeclarativeContent, depth), thaw: thaw}
		wg.Go(func() {
			// The order matters: whoever sees the closed queue must see the failure too.
			defer close(out.ch)
			if err := runStage(ctx, s, in, out); err != nil {
				cancel(err)
			}
		})
		in = &In{ch: out.ch, thaw: thaw}
	}
	for range in.ch { //nolint:revive // drains what the last stage puts
	}
	wg.Wait()
	if err := context.Cause(parent); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// runStage runs one stage and reads what it left in its queue, so that the stage before it never blocks.
func runStage(ctx context.Context, s Stage, in *In, out *Out) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("stages: %T panicked: %v\n%s", s, p, debug.Stack())
		}
	}()
	if err := s.Run(ctx, in, out); err != nil {
		return err
	}
	for {
		select {
		case _, ok := <-in.ch:
			if !ok {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// In is where a stage gets its units from.
type In struct {
	ch   chan *DeclarativeContent
	thaw *thaw
}

// Items yields the units one by one. After an error, which comes last, the stage must return it.
func (in *In) Items(ctx context.Context) iter.Seq2[*DeclarativeContent, error] {
	return func(yield func(*DeclarativeContent, error) bool) {
		for {
			dc, ok, err := in.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if !ok || !yield(dc, nil) {
				return
			}
		}
	}
}

// next waits for a unit; ok is false at the end. The context is looked at after the receive: a queue that was closed
// by a failure is not an end.
func (in *In) next(ctx context.Context) (dc *DeclarativeContent, ok bool, err error) {
	select {
	case dc, ok = <-in.ch:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	return dc, ok, nil
}

// DefaultBatch is how many units a stock stage handles at a time.
const DefaultBatch = 500

// Batches yields the units in batches of at least minSize (0 means [DefaultBatch]), or fewer at the end and whenever
// somebody waits for the resolution of a unit in the batch: then it is handed on at once. A batch is never empty and
// holds fewer than minSize units more than it had to. The slice belongs to the stage.
func (in *In) Batches(ctx context.Context, minSize int) iter.Seq2[[]*DeclarativeContent, error] {
	if minSize <= 0 {
		minSize = DefaultBatch
	}
	return func(yield func([]*DeclarativeContent, error) bool) {
		for {
			batch, end, err := in.batch(ctx, minSize)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(batch) > 0 && !yield(batch, nil) || end {
				return
			}
		}
	}
}

func (in *In) batch(ctx context.Context, minSize int) (batch []*DeclarativeContent, end bool, err error) {
	hurry := false
	for {
		thawed := in.thaw.wait() // before the look at the batch, so that no call in between is lost
		for _, dc := range batch {
			hurry = hurry || dc.awaited.Load()
		}
		if len(batch) >= minSize || hurry && len(batch) > 0 {
			return in.greedy(ctx, batch, 2*minSize)
		}
		var dc *DeclarativeContent
		ok := true
		select {
		case dc, ok = <-in.ch:
		case <-thawed:
		case <-ctx.Done():
		}
		switch {
		case ctx.Err() != nil:
			return nil, true, context.Cause(ctx)
		case !ok:
			return batch, true, nil
		case dc != nil:
			batch = append(batch, dc)
		}
	}
}

// greedy adds what is there without waiting, up to limit units.
func (in *In) greedy(ctx context.Context, batch []*DeclarativeContent, limit int) ([]*DeclarativeContent, bool, error) {
	for len(batch) < limit {
		select {
		case dc, ok := <-in.ch:
			if ctx.Err() != nil {
				return nil, true, context.Cause(ctx)
			}
			if !ok {
				return batch, true, nil
			}
			batch = append(batch, dc)
		default:
			return batch, false, nil
		}
	}
	return batch, false, nil
}

// Out is where a stage puts its units.
type Out struct {
	ch   chan *DeclarativeContent
	thaw *thaw
}

// Put hands a unit to the next stage, waiting while the queue is full. It is safe for concurrent use within Run.
//
// Errors: Invalid if a required field of the unit is missing; the cause of ctx if that ends.
func (o *Out) Put(ctx context.Context, dc *DeclarativeContent) error {
	if err := dc.check(); err != nil {
		return err
	}
	dc.thaw.Store(o.thaw)
	select {
	case o.ch <- dc:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// thaw wakes the batching stages of one run when somebody starts to wait for a unit.
type thaw struct {
	mu sync.Mutex
	ch chan struct{}
}

func newThaw() *thaw { return &thaw{ch: make(chan struct{})} }

func (t *thaw) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ch
}

func (t *thaw) call() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.ch)
	t.ch = make(chan struct{})
}
