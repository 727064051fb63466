package tasking

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// taskLabel is the pprof label of a task's goroutines, by which profiles can be narrowed to a task as well.
const taskLabel = "task_id"

const (
	maxDump     = 64 << 10         // bytes of stacks that are kept
	killedSlack = 30 * time.Second // how long the end of a killed process may take
	noteTimeout = 5 * time.Second
)

// execute runs the function of a binding, in this process or in one of its own.
func (w *Worker) execute(env *Env, b Binding, raw []byte) (result json.RawMessage, err error) {
	if b.opts.Subprocess && !env.isolated && !w.opts.IgnoreSubprocess {
		return w.isolate(env)
	}
	pprof.Do(env.ctx, pprof.Labels(taskLabel, env.claimed.ID.String()), func(ctx context.Context) {
		result, err = b.run(ctx, env, raw)
	})
	return result, err
}

// await waits for a task's function to return, and reports on one that does not although it was told to stop. It
// returns false if waiting was given up.
func (w *Worker) await(l *life, x *execution, env *Env) bool {
	grace := w.opts.CancelGrace
	if w.isIsolated(x.task.Name) {
		grace += killedSlack
	}
	returned := awaitReturn(x, env, grace, l.abandon, func() { w.reportStuck(x, env) })
	if returned {
		env.flushReports()
	}
	return returned
}

// awaitReturn waits for a task's function. It calls stuck once if that has not returned grace after it was told to
// stop, or when waiting is given up, for which it returns false.
func awaitReturn(x *execution, env *Env, grace time.Duration, abandon <-chan struct{}, stuck func()) bool {
	select {
	case <-x.done:
		return true
	case <-abandon: // it began too late to be told
		return false
	case <-env.ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-x.done:
		return true
	case <-timer.C:
	case <-abandon:
		stuck()
		return false
	}
	stuck()
	select {
	case <-x.done:
		return true
	case <-abandon:
		return false
	}
}

// reportStuck tells everybody who may want to know that a task does not end.
func (w *Worker) reportStuck(x *execution, env *Env) {
	dump := goroutinesOf(x.task.ID)
	env.Log.Error("task was told to stop and does not", "cause", x.cause(), "goroutines", dump)
	w.note(env, &models.TaskError{Description: "The task was told to stop and does not.", Traceback: &dump})
	if w.opts.OnStuck != nil {
		task := x.task.Task
		w.opts.OnStuck(&task, dump)
	}
}

const noteSQL = `UPDATE core_task SET error = ?error, pulp_last_updated = ?now
	WHERE pulp_id = ?id AND claim_id = ?claim AND state = 'canceling'`

// note writes down what is wrong with a task that is being canceled. It stays when the task ends. Stacks are for
// clients only if the worker says so.
func (w *Worker) note(env *Env, e *models.TaskError) {
	if !w.opts.Tracebacks {
		e.Traceback = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(env.ctx), noteTimeout)
	defer cancel()
	text, err := jsonText(e)
	if err == nil {
		err = w.q.write(ctx, func(idb bun.IDB) error {
			_, err := idb.NewRaw(w.q.kind.JSONCase(noteSQL, "?error"), sqldialect.Named{
				"error": text, "now": w.q.kind.Now(), "id": env.claimed.ID, "claim": env.claimed.ClaimID,
			}).Exec(ctx)
			return err
		})
	}
	if err != nil {
		env.Log.WarnContext(ctx, "the error of a task is not stored", "err", err)
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
