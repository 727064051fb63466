// Package stages turns what a plugin declares about upstream content into a new repository version.
//
// A sync is a pipeline of stages. The plugin writes the first one: it reads the remote's metadata and puts one
// [DeclarativeContent] per unit. The stock stages after it find out which units and files exist already, download
// missing files, save artifacts and units in bulk, and associate them with the version. [DeclarativeVersion] puts the
// pipeline together:
//
//	version := stages.DeclarativeVersion{Repository: repo, First: &manifest{…}, Mirror: args.Mirror}
//	latest, changed, err := version.Create(ctx, env)
//
// A stream that was cut never counts as complete: when a stage fails, every stage after it gets the failure instead of
// the end, so a mirror never removes content because a download broke off.
package stages

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Stage is one step of a pipeline. Run reads units from in, and puts into out what the next stage shall see; returning
// nil ends its output. The first stage has an empty in, what the last stage puts is dropped.
//
// Run must pass on the error of In's iterators and of Out.Put. It may start goroutines if it waits for them. A unit
// that it does not pass on it should [DeclarativeContent.Skip]: another stage may wait for its resolution.
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
// [DefaultDepth]), until all have returned. Units that no stage reads are drained. The first error, panic or end of ctx
// cancels the context of all stages and is what Run returns, not the errors that follow from it; of ctx it is the
// cause.
//
// Errors: Invalid if there is no stage, or one is nil or given twice. Mirrors pulpcore.plugin.stages.create_pipeline.
func Run(ctx context.Context, depth int, stages ...Stage) error {
	if err := checkStages(stages); err != nil {
		return err
	}
	if depth <= 0 {
		depth = DefaultDepth
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// Calls of Resolution that still wait at the end return this cause.
	defer cancel(errUnsaved)
	l := newPipeline(ctx)
	in := &In{ch: make(chan *DeclarativeContent), pipeline: l}
	close(in.ch)
	var wg sync.WaitGroup
	for _, s := range stages {
		from, out := in, &Out{ch: make(chan *DeclarativeContent, depth), pipeline: l}
		wg.Go(func() { runStage(ctx, cancel, s, from, out) })
		in = &In{ch: out.ch, pipeline: l}
	}
	// No stage reads the units of the last stage, which would block when its queue is full.
	for dc := range in.ch {
		dc.Skip(errUnsaved)
	}
	wg.Wait()
	// The removal waits for all stages: one of them may still save the rows of these bytes.
	for _, s := range stages {
		if c, ok := s.(cleaner); ok {
			c.cleanUp(ctx)
		}
	}
	return l.err()
}

func checkStages(stages []Stage) error {
	if len(stages) == 0 {
		return fmt.Errorf("stages: run: there is no stage: %w", pulperr.Invalid)
	}
	seen := make(map[Stage]bool, len(stages))
	for i, s := range stages {
		v := reflect.ValueOf(s)
		switch {
		case s == nil || v.Kind() == reflect.Pointer && v.IsNil():
			return fmt.Errorf("stages: run: stage %d is nil: %w", i+1, pulperr.Invalid)
		case v.Kind() != reflect.Pointer || v.Type().Elem().Size() == 0:
			continue // no identity, so no state that could be shared
		case seen[s]:
			return fmt.Errorf("stages: run: stage %d, a %T, is given twice: %w", i+1, s, pulperr.Invalid)
		}
		seen[s] = true
	}
	return nil
}

var (
	errGoexit  = errors.New("stages: a stage ended its goroutine (runtime.Goexit)")
	errPutLate = fmt.Errorf("stages: a unit was put after the Run of its stage had returned; "+
		"wait for the goroutines of a stage in its Run: %w", pulperr.Internal)
	errUnsaved = fmt.Errorf("stages: the unit left the pipeline before it was saved: %w", pulperr.Internal)
)

// runStage runs one stage and reads what it left in its queue, so that the stage before it never blocks.
func runStage(ctx context.Context, cancel context.CancelCauseFunc, s Stage, in *In, out *Out) {
	// The error if Run does not return: runtime.Goexit runs the deferred calls without a panic, and must not count as the
	// end of the units.
	err := errGoexit
	// Deferred calls run in reverse order: the cause is set before the queue is closed, so a stage that reads the closed
	// queue finds the failure as well.
	defer out.end()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("stages: %T panicked: %v\n%s", s, p, debug.Stack())
		}
		if err != nil {
			cancel(err)
		}
	}()
	// After an error the run is canceled, and no stage waits for its queue any more.
	if err = s.Run(ctx, in, out); err == nil {
		in.drain()
	}
}

// caught returns fn with a panic as its error, for the goroutines of a stage. runStage cannot recover theirs, and a
// panic that is not recovered ends the process with all its tasks.
func caught(fn func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("stages: a download panicked: %v\n%s", p, debug.Stack())
			}
		}()
		return fn()
	}
}

// pipeline is the state that the stages of one run share.
type pipeline struct {
	done <-chan struct{} // closed when the run fails or is over
	err  func() error    // why; nil while it goes on

	mu          sync.Mutex
	flushSignal chan struct{} // closed and replaced when a call of Resolution begins to wait
}

func newPipeline(ctx context.Context) *pipeline {
	return &pipeline{done: ctx.Done(), flushSignal: make(chan struct{}), err: func() error {
		if ctx.Err() == nil {
			return nil
		}
		return context.Cause(ctx)
	}}
}

// ended returns why the run, or the stage's own ctx, has ended, or nil.
func (l *pipeline) ended(ctx context.Context) error {
	// The run is asked too: a stage may read with a context that is not derived from its own, and must not take a failure
	// for the end.
	if err := l.err(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// flushRequested returns a channel that is closed when a call of Resolution begins to wait for a unit.
func (l *pipeline) flushRequested() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushSignal
}

// requestFlush wakes the stages that are collecting a batch, so that they look for awaited units in it.
func (l *pipeline) requestFlush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.flushSignal)
	l.flushSignal = make(chan struct{})
}
