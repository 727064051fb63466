package worker

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	maxDump     = 64 << 10         // bytes of stacks that are kept
	killedSlack = 30 * time.Second // how long the end of a killed process may take
	noteTimeout = 5 * time.Second
)

// reportStuck reports that a task was told to stop and goes on: in the log, in its error, and to the host.
func (e *executor) reportStuck(a *attempt.Attempt) {
	dump := goroutinesOf(a.Task.ID)
	a.Log.Error("task was told to stop and does not", "cause", a.Cause(), "goroutines", dump)
	e.setError(a, &models.TaskError{Description: "The task was told to stop and does not.", Traceback: &dump})
	if e.opts.OnStuck != nil {
		task := a.Task.Task
		e.opts.OnStuck(&task, dump)
	}
}

// setError stores what is wrong with a task that is being canceled. Stacks are for clients only if the options say so.
func (e *executor) setError(a *attempt.Attempt, te *models.TaskError) {
	if !e.opts.Tracebacks {
		te.Traceback = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), noteTimeout)
	defer cancel()
	err := taskdb.Write(ctx, e.q.DB, func(c taskdb.Conn) error { return taskdb.SetError(ctx, c, a.Task, te) })
	if err != nil {
		a.Log.WarnContext(ctx, "the error of a task is not stored", "err", err)
	}
}

// goroutinesOf returns the stacks of the goroutines that a task started, and of those that these started.
func goroutinesOf(task uuid.UUID) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil { // a Buffer does not fail
		return ""
	}
	label := fmt.Sprintf("%q:%q", taskLabel, task.String())
	var own strings.Builder
	for record := range strings.SplitSeq(all.String(), "\n\n") {
		// "<count> @ <addresses>", "# labels: {…}", and a line for each frame
		head, rest, _ := strings.Cut(record, "\n")
		if strings.HasPrefix(head, "goroutine profile:") {
			head, rest, _ = strings.Cut(rest, "\n")
		}
		labels, frames, _ := strings.Cut(rest, "\n")
		count, _, ok := strings.Cut(head, " @")
		if !ok || !strings.HasPrefix(labels, "# labels:") || !strings.Contains(labels, label) {
			continue
		}
		fmt.Fprintf(&own, "goroutines: %s\n%s\n\n", count, strings.TrimSuffix(frames, "\n"))
	}
	dump := strings.TrimSuffix(own.String(), "\n")
	return dump[:min(len(dump), maxDump)]
}
