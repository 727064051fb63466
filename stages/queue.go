package stages

import (
	"context"
	"iter"
	"sync"
)

// In is where a stage gets its units from. It belongs to the stage; its iterators take turns.
type In struct {
	ch       chan *DeclarativeContent
	pipeline *pipeline
}

// Items yields the units one by one. After an error, which comes last, the stage must return it.
//
// Errors: what made another stage fail; the cause of ctx.
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

// next waits for a unit; ok is false at the end.
func (in *In) next(ctx context.Context) (dc *DeclarativeContent, ok bool, err error) {
	select {
	case dc, ok = <-in.ch:
	case <-ctx.Done():
	case <-in.pipeline.done:
	}
	// The contexts are checked after the receive: a stage that fails cancels the run before it closes its queue, so a
	// closed queue alone is no end.
	if err := in.pipeline.ended(ctx); err != nil {
		return nil, false, err
	}
	return dc, ok, nil
}

// drain reads the units that are left, until the end or the failure of the run.
func (in *In) drain() {
	for {
		select {
		case dc, ok := <-in.ch:
			if !ok {
				return
			}
			// Without it, a call of Resolution would wait until the end of the run.
			dc.Skip(errUnsaved)
		case <-in.pipeline.done:
			return
		}
	}
}

// DefaultBatch is how many units a stock stage handles at a time.
const DefaultBatch = 500

// Batches yields the units in batches of at least minSize (0 means [DefaultBatch]), or fewer at the end, or as soon as
// a call of [DeclarativeContent.Resolution] waits for a unit of the batch. Units that are in the queue already are
// added, up to twice minSize. A batch is never empty, and its slice belongs to the stage.
//
// Errors, which come last: what made another stage fail; the cause of ctx.
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
	// The channel is read before any unit is looked at, so that no call of Resolution in between is lost.
	requested := in.pipeline.flushRequested()
	flush := false
	for len(batch) < minSize && !flush {
		var dc *DeclarativeContent
		ok := true
		select {
		case dc, ok = <-in.ch:
		case <-requested:
			// Each request replaces the channel. The new one is read before the units are looked at, as above.
			requested = in.pipeline.flushRequested()
			for _, dc := range batch {
				flush = flush || dc.isAwaited()
			}
		case <-ctx.Done():
		case <-in.pipeline.done:
		}
		if err := in.pipeline.ended(ctx); err != nil {
			return nil, true, err
		}
		switch {
		case !ok:
			return batch, true, nil
		case dc != nil:
			batch = append(batch, dc)
			// The call of Resolution may have requested its flush before the unit came here.
			flush = flush || dc.isAwaited()
		}
	}
	return in.drainReady(ctx, batch, 2*minSize)
}

// drainReady adds the units that are in the queue already, up to limit units in all.
func (in *In) drainReady(
	ctx context.Context, batch []*DeclarativeContent, limit int,
) ([]*DeclarativeContent, bool, error) {
	for len(batch) < limit {
		select {
		case dc, ok := <-in.ch:
			if err := in.pipeline.ended(ctx); err != nil {
				return nil, true, err
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
	ch       chan *DeclarativeContent
	pipeline *pipeline

	mu    sync.RWMutex // read-locked while a unit is put
	ended bool         // the stage's Run has returned
}

// end closes the queue, after units that are being put.
func (o *Out) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	close(o.ch)
}

// Put hands a unit to the next stage, waiting while the queue is full. It is safe for concurrent use within Run. The
// unit belongs to the next stages until its [DeclarativeContent.Resolution].
//
// Errors: Invalid if a required field of the unit is missing; Internal if Run has returned, which is a fault of the
// stage; what made another stage fail; the cause of ctx.
func (o *Out) Put(ctx context.Context, dc *DeclarativeContent) error {
	if err := dc.check(); err != nil {
		return err
	}
	// The lock is held until the unit is sent: end closes the channel, and a send on a closed channel panics.
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.ended {
		return errPutLate
	}
	dc.pipeline.Store(o.pipeline)
	select {
	case o.ch <- dc:
		return nil
	case <-ctx.Done():
	case <-o.pipeline.done:
	}
	return o.pipeline.ended(ctx)
}

// forBatches calls fn with each batch of in, of the default size, and puts the batch into out afterwards.
func forBatches(ctx context.Context, in *In, out *Out, fn func(context.Context, []*DeclarativeContent) error) error {
	for batch, err := range in.Batches(ctx, 0) {
		if err != nil {
			return err
		}
		if err := fn(ctx, batch); err != nil {
			return err
		}
		if err := putAll(ctx, out, batch); err != nil {
			return err
		}
	}
	return nil
}

// putAll hands on a batch.
func putAll(ctx context.Context, out *Out, batch []*DeclarativeContent) error {
	for _, dc := range batch {
		if err := out.Put(ctx, dc); err != nil {
			return err
		}
	}
	return nil
}
