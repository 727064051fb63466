package main

import (
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// bars shows progress if the output is a terminal.
type bars struct {
	progress *mpb.Progress // nil if stderr is no terminal
}

func newBars() *bars {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return &bars{}
	}
	return &bars{progress: mpb.New(mpb.WithOutput(os.Stderr), mpb.WithRefreshRate(100*time.Millisecond))}
}

// wait lets the last state be drawn.
func (b *bars) wait() {
	if b.progress != nil {
		b.progress.Wait()
	}
}

// bar is one line of bars; its zero value is not shown.
type bar struct {
	line *mpb.Bar
}

// add starts a bar. A total of 0 is unknown yet.
func (b *bars) add(name string, total int64) *bar {
	if b.progress == nil {
		return &bar{}
	}
	return &bar{b.progress.AddBar(total,
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 14, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersNoUnit("%d / %d", decor.WCSyncWidth), decor.Percentage(decor.WCSyncSpace)))}
}

func (b *bar) add(n int64) {
	if b.line != nil {
		b.line.IncrInt64(n)
	}
}

func (b *bar) set(done, total int64) {
	if b.line != nil {
		b.line.SetTotal(total, false)
		b.line.SetCurrent(done)
	}
}

// done completes the bar where it stands.
func (b *bar) done() {
	if b.line != nil {
		// mpb takes the present value for a negative total, so the bar ends where it stands.
		b.line.SetTotal(-1, true)
	}
}
