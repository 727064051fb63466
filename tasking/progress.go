package tasking

import (
	"context"
	"iter"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
)

// Progress is one step of a task while it runs. It is counted in memory and written once per interval. It is safe for
// concurrent use.
type Progress struct{ report attempt.Report }

// Add counts n more units as done.
func (p *Progress) Add(n int64) {
	p.report.Change(func(r *models.ProgressReport) { r.Done += n })
}

// SetDone sets how many units are done.
func (p *Progress) SetDone(n int64) {
	p.report.Change(func(r *models.ProgressReport) { r.Done = n })
}

// SetTotal sets how many units there are.
func (p *Progress) SetTotal(n int64) {
	p.report.Change(func(r *models.ProgressReport) { r.Total = &n })
}

// AddTotal counts n more units that are to be done.
func (p *Progress) AddTotal(n int64) {
	p.report.Change(func(r *models.ProgressReport) {
		if r.Total != nil {
			n += *r.Total
		}
		r.Total = &n
	})
}

// SetSuffix sets a text that is shown behind the numbers.
func (p *Progress) SetSuffix(text string) {
	p.report.Change(func(r *models.ProgressReport) { r.Suffix = &text })
}

// Done returns how many units are done.
func (p *Progress) Done() int64 { return p.report.Done() }

// Count returns seq as it is and counts each item as done when the next one is asked for, so that an item at which the
// loop is left does not count, nor does an error.
//
//	for file, err := range tasking.Count(p, files) { … }
//
// Mirrors pulpcore.plugin.models.ProgressReport.iter.
func Count[T any](p *Progress, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item, err := range seq {
			if !yield(item, err) {
				return
			}
			if err == nil {
				p.Add(1)
			}
		}
	}
}

// Progress runs one step of a task and reports on it: message is for people, code, such as "sync.downloading", for
// programs. The report is running while fn runs and then has a state that depends on fn's error: completed, canceled or
// failed. It returns fn's error, or the one of storing the report's beginning or end.
//
// Mirrors pulpcore.plugin.models.ProgressReport as a context manager.
func (e *Env) Progress(ctx context.Context, message, code string, fn func(p *Progress) error) error {
	p := new(Progress)
	return e.attempt.Report(ctx, &p.report, message, code, func() error { return fn(p) })
}
