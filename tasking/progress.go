package tasking

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Progress is one step of a task while it runs. It is counted in memory and written once per interval. It is safe for
// concurrent use.
type Progress struct {
	mu    sync.Mutex
	row   models.ProgressReport
	dirty bool
}

// Add counts n more units as done.
func (p *Progress) Add(n int64) { p.change(func(r *models.ProgressReport) { r.Done += n }) }

// SetDone sets how many units are done.
func (p *Progress) SetDone(n int64) { p.change(func(r *models.ProgressReport) { r.Done = n }) }

// SetTotal sets how many units there are.
func (p *Progress) SetTotal(n int64) { p.change(func(r *models.ProgressReport) { r.Total = &n }) }

// AddTotal counts n more units that are to be done.
func (p *Progress) AddTotal(n int64) {
	p.change(func(r *models.ProgressReport) {
		if r.Total != nil {
			n += *r.Total
		}
		r.Total = &n
	})
}

// SetSuffix sets a text that is shown behind the numbers.
func (p *Progress) SetSuffix(text string) {
	p.change(func(r *models.ProgressReport) { r.Suffix = &text })
}

// Done returns how many units are done.
func (p *Progress) Done() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.row.Done
}

func (p *Progress) change(fn func(*models.ProgressReport)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(&p.row)
	p.dirty = true
}

// take returns the report as it is to be written, or false if it has not changed since the last time.
func (p *Progress) take() (models.ProgressReport, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty := p.dirty
	p.dirty = false
	return p.row, dirty
}

// current returns the report as it is, which does not count as writing it.
func (p *Progress) current() models.ProgressReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.row
}

// Progress runs one step of a task and reports on it: message is for people, code, such as "sync.downloading", for
// programs. The report is running while fn runs and then has the state that fn's error says: completed, canceled or
// failed. It returns fn's error, or the one of storing the report's beginning or end.
//
// Mirrors pulpcore.plugin.models.ProgressReport as a context manager.
func (e *Env) Progress(ctx context.Context, message, code string, fn func(p *Progress) error) (err error) {
	if models.HasNUL(message + code) {
		return pulperr.Public(pulperr.Invalid, "the message of a progress report contains a NUL")
	}
	p := &Progress{row: models.ProgressReport{
		TaskID: e.Task.ID, Message: message, Code: code, State: models.Running,
	}}
	p.row.ID, p.row.Created = models.NewID(), models.Now()
	p.row.Updated = p.row.Created
	e.attempt.reported.Store(true)
	err = e.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(&p.row).Exec(ctx)
		return err
	})
	if err != nil {
		return taskdb.Wrap(err, "begin progress report %q", code)
	}
	e.Queue.emit(progressEvent(e.Task, &p.row))
	state := models.Failed // also if fn panics
	e.attempt.reports.add(p)
	stop := e.keepWriting(ctx, p)
	defer func() {
		stop()
		p.change(func(r *models.ProgressReport) { r.State = state })
		saveErr := e.save(context.WithoutCancel(ctx), p)
		if saveErr == nil {
			e.attempt.reports.remove(p)
		} else if err == nil {
			err = saveErr
		}
	}()
	err = fn(p)
	switch {
	case err == nil:
		state = models.Completed
	case errors.Is(context.Cause(ctx), ErrCanceled), errors.Is(err, ErrCanceled):
		state = models.Canceled
	}
	return err
}

// keepWriting writes the report whenever it has changed, once per interval, until stop is called.
func (e *Env) keepWriting(ctx context.Context, p *Progress) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(e.environment.progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
			if err := e.save(ctx, p); err != nil && ctx.Err() == nil {
				e.Log.WarnContext(ctx, "progress report is written later", "err", err)
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

// save writes a report that is still running. It is a short transaction of its own: the task's are long. After
// CompleteTx, which has written it, it does nothing.
func (e *Env) save(ctx context.Context, p *Progress) error {
	r, dirty := p.take()
	if !dirty || e.attempt.self.is(completed) {
		return nil
	}
	written := false
	err := e.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		written, err = taskdb.WriteReport(ctx, taskdb.On(tx.DB), &r)
		return err
	})
	switch {
	case err != nil && e.attempt.self.is(completed): // meanwhile
		return nil
	case err != nil:
		p.change(func(*models.ProgressReport) {})
	case written:
		e.Queue.emit(progressEvent(e.Task, &r))
	}
	return taskdb.Wrap(err, "write progress report %q", r.Code)
}

// openReports are the reports whose end is not written yet.
type openReports struct {
	mu   sync.Mutex
	open map[*Progress]bool
}

func (o *openReports) add(p *Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = map[*Progress]bool{}
	}
	o.open[p] = true
}

func (o *openReports) remove(p *Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, p)
}

// write writes all open reports as they are now within a transaction, which may be rolled back, and returns them.
func (o *openReports) write(ctx context.Context, c taskdb.Conn) ([]models.ProgressReport, error) {
	o.mu.Lock()
	open := slices.Collect(maps.Keys(o.open))
	o.mu.Unlock()
	rows := make([]models.ProgressReport, len(open))
	for i, p := range open {
		rows[i] = p.current()
	}
	slices.SortFunc(rows, func(a, b models.ProgressReport) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for i := range rows {
		if _, err := taskdb.WriteReport(ctx, c, &rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}
