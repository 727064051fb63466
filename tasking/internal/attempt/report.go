package attempt

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Report is the progress report of one step of a task. It is counted in memory and written once per interval. Its zero
// value is ready for use. It is safe for concurrent use.
type Report struct {
	mu    sync.Mutex
	row   models.ProgressReport
	dirty bool
}

// Change changes the numbers of the report.
func (p *Report) Change(fn func(*models.ProgressReport)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(&p.row)
	p.dirty = true
}

// take returns the report as it is to be written, or false if it has not changed since the last time.
func (p *Report) take() (models.ProgressReport, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty := p.dirty
	p.dirty = false
	return p.row, dirty
}

// current returns the report as it is, which does not count as writing it.
func (p *Report) current() models.ProgressReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.row
}

// Done returns how many units are done.
func (p *Report) Done() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.row.Done
}

// Report calls fn and reports on it as one step of the task with p, which is running meanwhile and then has a state
// that depends on fn's error. It returns fn's error, or the one of storing the report's beginning or end.
func (a *Attempt) Report(ctx context.Context, p *Report, message, code string, fn func() error) (err error) {
	if models.HasNUL(message + code) {
		return pulperr.Public(pulperr.Invalid, "message or code of progress report %q contains a NUL; leave it out", code)
	}
	p.row = models.ProgressReport{TaskID: a.Task.ID, Message: message, Code: code, State: models.Running}
	p.row.ID, p.row.Created = models.NewID(), models.Now()
	p.row.Updated = p.row.Created
	// Before the INSERT, whose answer may be lost: the end of the task then closes the report all the same.
	a.reports.begin()
	err = a.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(&p.row).Exec(ctx)
		return err
	})
	if err != nil {
		return taskdb.Wrap(err, "begin progress report %q", code)
	}
	a.Core.Emit(event.OfProgress(&a.Task.Task, &p.row))
	state := models.Failed // also if fn panics
	a.reports.add(p)
	stop := a.keepWriting(ctx, p)
	defer func() {
		stop()
		p.Change(func(r *models.ProgressReport) { r.State = state })
		// The last numbers count also if the task was canceled.
		saveErr := a.save(context.WithoutCancel(ctx), p)
		if saveErr == nil {
			// A report that could not be written stays open for FlushReports.
			a.reports.remove(p)
		} else if err == nil {
			err = saveErr
		}
	}()
	err = fn()
	switch {
	case err == nil:
		state = models.Completed
	case errors.Is(context.Cause(ctx), engine.ErrCanceled), errors.Is(err, engine.ErrCanceled):
		state = models.Canceled
	}
	return err
}

// keepWriting writes the report whenever it has changed, once per interval, until stop is called.
func (a *Attempt) keepWriting(ctx context.Context, p *Report) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(a.ProgressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
			if err := a.save(ctx, p); err != nil && ctx.Err() == nil {
				a.Log.WarnContext(ctx, "progress report could not be written; it is tried again", "err", err)
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

// save writes a report that is still running. It is a short transaction of its own: the task's are long. After
// CompleteTx, which has written the report, it has no effect.
func (a *Attempt) save(ctx context.Context, p *Report) error {
	r, dirty := p.take()
	if !dirty || a.Completed() {
		return nil
	}
	written := false
	err := a.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) (err error) {
		written, err = taskdb.WriteReport(ctx, taskdb.On(tx.DB), &r)
		return err
	})
	switch {
	case err != nil && a.Completed(): // meanwhile
		return nil
	case err != nil:
		// Marks the report as changed again, so that the next tick writes it.
		p.Change(func(*models.ProgressReport) {})
	case written:
		a.Core.Emit(event.OfProgress(&a.Task.Task, &r))
	}
	return taskdb.Wrap(err, "write progress report %q", r.Code)
}

// noteTimeout is how long the last numbers of a report may take to be written.
const noteTimeout = 5 * time.Second

// FlushReports writes the last numbers of reports that are still open when the function has returned: reports of a
// goroutine that it left behind, and reports that could not be written. The end of the task closes them.
func (a *Attempt) FlushReports() {
	open := a.reports.list()
	if len(open) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), noteTimeout)
	defer cancel()
	for _, p := range open {
		if err := a.save(ctx, p); err != nil {
			// The database does not answer: each further report would cost the same time.
			a.Log.WarnContext(ctx, "last numbers of a progress report could not be written", "err", err)
			return
		}
	}
}

// WriteReports writes all open reports as they are now within a transaction, which may be rolled back, and returns
// them.
func (a *Attempt) WriteReports(ctx context.Context, c taskdb.Conn) ([]models.ProgressReport, error) {
	open := a.reports.list()
	rows := make([]models.ProgressReport, len(open))
	for i, p := range open {
		// Not take: the transaction may be rolled back, and then the change is still to be written.
		rows[i] = p.current()
	}
	// Every transaction locks the reports in the same order, or two could wait for each other.
	slices.SortFunc(rows, func(a, b models.ProgressReport) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for i := range rows {
		if _, err := taskdb.WriteReport(ctx, c, &rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// SetReported notes that the task may have reports that are still running, of an earlier attempt or another process.
func (a *Attempt) SetReported() { a.reports.begin() }

// Reported reports whether the task may have reports that are still running.
func (a *Attempt) Reported() bool {
	a.reports.mu.Lock()
	defer a.reports.mu.Unlock()
	return a.reports.begun
}

// reports are the progress reports of an attempt.
type reports struct {
	mu    sync.Mutex
	begun bool             // there was one
	open  map[*Report]bool // those whose end is not written yet
}

func (r *reports) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
}

func (r *reports) add(p *Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[*Report]bool{}
	}
	r.open[p] = true
}

func (r *reports) remove(p *Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, p)
}

// list returns the open reports.
func (r *reports) list() []*Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.open))
}
