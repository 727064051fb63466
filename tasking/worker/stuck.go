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

// reportStuck reports in the log, in the task's error and to the host that a function does not return although its
// context has ended.
func (e *executor) reportStuck(a *attempt.Attempt) {
	dump := goroutinesOf(a.Task.ID)
	a.Log.Error("task was told to stop and its function does not return", "cause", a.Cause(), "goroutines", dump)
	e.setError(a, &models.TaskError{
		Description: "The task was told to stop, but its function does not return.", Traceback: &dump,
	})
	if e.opts.OnStuck != nil {
		// A copy: the host may keep it while the attempt goes on.
		task := a.Task.Task
		e.opts.OnStuck(&task, dump)
	}
}

// setError stores the error of a task that is being canceled. Clients see stacks only with Options.Tracebacks.
func (e *executor) setError(a *attempt.Attempt, te *models.TaskError) {
	if !e.opts.Tracebacks {
		te.Traceback = nil
	}
	// The context of the attempt has ended by now: a stuck task is one that ignores this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), noteTimeout)
	defer cancel()
	// Tried once: the text only helps clients, and the end of the task does not depend on it.
	err := taskdb.Write(ctx, e.q.DB, func(c taskdb.Conn) error { return taskdb.SetError(ctx, c, a.Task, te) })
	if err != nil {
		a.Log.WarnContext(ctx, "the error of a task that does not stop could not be stored", "err", err)
	}
}

// goroutinesOf returns the stacks of the goroutines that a task has started, directly or not.
func goroutinesOf(task uuid.UUID) string {
	var all bytes.Buffer
	// Form 1 of the profile has the labels of goroutines, by which those of one task are found.
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
