package tasking

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// ending is how a task ends.
type ending struct {
	state  models.TaskState // Completed or Failed; a task that was being canceled becomes Canceled instead
	err    *models.TaskError
	result json.RawMessage
	retry  *time.Duration // the task waits that long and runs again, unless it is being canceled
	spared bool           // this attempt does not count
}

// counts is what the attempt adds to those that were counted when it began.
func (e ending) counts() int {
	if e.spared {
		return -1
	}
	return 0
}

// finishing is a task that ends, on its way into a batch.
type finishing struct {
	task      *claimed
	end       ending
	reported  bool // it may have progress reports that are still running
	continues bool // its slot takes one of the tasks that become ready
	taken     []handedOff
}

// handedOff is a claim on a task, whose commit may have got no answer.
type handedOff struct{ id, claim uuid.UUID }

// finished is what became of it.
type finished struct {
	state models.TaskState // "" if it is not executed under its claim
	next  *claimed         // the task that the slot goes on with; nil is none
	ready []taskdb.ReadyTask
	busy  bool // somebody has a lock: nothing was written
}

func newFinishes(w *Worker) *batch.Writer[*finishing, finished] {
	return &batch.Writer[*finishing, finished]{
		Limit: taskdb.ManyLocks, Weight: func(f *finishing) int { return max(1, len(f.task.reserved())) },
		Write: w.writeFinishes, IsItemError: sqldialect.IsDataError,
	}
}

// end ends a task, releases what it reserved and grants its followers, which the caller has to deliver. It may be
// called again after an error, and succeeds if the first call had done its work.
//
// Errors: errFenced.
func (w *Worker) end(ctx context.Context, f *finishing) (finished, error) {
	done, err := w.finishes.Do(ctx, f)
	if err == nil && done.busy { // in a transaction of its own, so that nobody else waits for the lock with it
		done, err = w.endAlone(ctx, f)
	}
	if err == nil && done.state == "" {
		done, err = w.endedBefore(ctx, f)
	}
	return done, err
}

// endedBefore is the outcome of an earlier call of end whose answer got lost, with the task that was claimed then.
func (w *Worker) endedBefore(ctx context.Context, f *finishing) (done finished, err error) {
	if done.state, err = w.q.finishedBefore(ctx, f.task); err != nil {
		return done, err
	}
	for _, t := range f.taken {
		if done.next, err = w.q.readClaim(ctx, t.id, t.claim); err != nil || done.next != nil {
			return done, err
		}
	}
	return done, nil
}

func (w *Worker) endAlone(ctx context.Context, f *finishing) (done finished, err error) {
	list := reservations(f.task.reserved())
	err = w.q.lockedTx(ctx, list, lockPatience, func(ctx context.Context, tx *models.Tx) error {
		all, err := w.finishIn(ctx, tx.Bun(), []*finishing{f}, [][]taskdb.Reservation{list})
		if err == nil {
			done = all[0]
		}
		return err
	})
	return done, err
}

// writeFinishes ends a batch of tasks in one transaction, except those that are busy.
func (w *Worker) writeFinishes(ctx context.Context, batch []*finishing) ([]finished, error) {
	w.q.tel.batch(ctx, batchFinish, len(batch))
	out := make([]finished, len(batch))
	lists := make([][]taskdb.Reservation, len(batch))
	for i, f := range batch {
		lists[i] = reservations(f.task.reserved())
	}
	busy, err := w.q.batchTx(ctx, lists, func(ctx context.Context, tx *models.Tx, free []int) error {
		some, someLists := make([]*finishing, len(free)), make([][]taskdb.Reservation, len(free))
		for i, at := range free {
			some[i], someLists[i] = batch[at], lists[at]
		}
		done, err := w.finishIn(ctx, tx.Bun(), some, someLists)
		for i, d := range done {
			out[free[i]] = d
		}
		w.q.at("finish.before_commit")
		return err
	})
	if err == nil {
		w.q.at("finish.committed")
	}
	for i := range busy {
		if busy[i] {
			out[i] = finished{busy: true}
		}
	}
	return out, err
}

// finishIn ends tasks whose resources are locked.
func (w *Worker) finishIn(
	ctx context.Context, idb bun.IDB, batch []*finishing, lists [][]taskdb.Reservation,
) ([]finished, error) {
	q := w.q
	states, err := q.finishRows(ctx, idb, batch)
	if err != nil {
		return nil, err
	}
	out := make([]finished, len(batch))
	var held []taskdb.Held
	for i, f := range batch {
		out[i].state = states[f.task.ID]
		if out[i].state == "" {
			continue
		}
		held = append(held, taskdb.Held{Seq: f.task.Seq, Reservations: lists[i]})
		if f.reported {
			if err := endReports(ctx, idb, out[i].state, f.task.ID); err != nil {
				return nil, err
			}
		}
	}
	if len(held) == 0 {
		return out, nil
	}
	ready, err := taskdb.Release(ctx, taskdb.Conn{IDB: idb, Kind: q.kind}, held...)
	if err != nil {
		return nil, err
	}
	if ready, err = w.handOff(ctx, idb, batch, out, ready); err != nil {
		return nil, err
	}
	share(out, ready)
	return out, nil
}

// handOff claims tasks that became ready for the slots that go on, and returns the others: a chain of tasks on one
// resource then costs one commit per task and no message.
func (w *Worker) handOff(
	ctx context.Context, idb bun.IDB, batch []*finishing, out []finished, ready []taskdb.ReadyTask,
) ([]taskdb.ReadyTask, error) {
	var left []taskdb.ReadyTask
	var ids []uuid.UUID
	var takers []int
	next := 0
	for _, t := range ready {
		for next < len(batch) && (!batch[next].continues || out[next].state == "") {
			next++
		}
		if next == len(batch) || batch[next].task.Queue != t.Queue || !w.fulfils(t.Versions) {
			left = append(left, t)
			continue
		}
		ids, takers = append(ids, t.ID), append(takers, next)
		next++
	}
	if len(ids) == 0 {
		return left, nil
	}
	claim := uuid.New()
	found, err := w.q.claim(ctx, idb, ids, w.id(), claim)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		f := batch[takers[i]]
		out[takers[i]].next, f.taken = found[id], append(f.taken, handedOff{id, claim})
	}
	return left, nil
}

// share gives each of those that ended some of the tasks that became ready, so that they deliver them side by side.
// There is at least one that ended.
func share(out []finished, ready []taskdb.ReadyTask) {
	for i := 0; len(ready) > 0; i = (i + 1) % len(out) {
		if out[i].state != "" {
			out[i].ready, ready = append(out[i].ready, ready[0]), ready[1:]
		}
	}
}

// Columns of the values: id, state, error, result, claim.
const finishSQL = `UPDATE core_task SET finished_at = ?now, pulp_last_updated = ?now,
		result = CASE WHEN core_task.state = 'running' THEN v.column4 END,
		error = CASE WHEN core_task.state = 'running' THEN v.column3 ELSE core_task.error END,
		state = CASE WHEN core_task.state = 'running' THEN v.column2 ELSE 'canceled' END
	FROM (?values) AS v
	WHERE pulp_id = v.column1 AND claim_id = v.column5 AND (core_task.state IN ('running', 'canceling')) IS TRUE
	RETURNING pulp_id, state`

// finishRows returns the final states; a task that is not executed under its claim has none.
func (q *Queue) finishRows(
	ctx context.Context, idb bun.IDB, batch []*finishing,
) (map[uuid.UUID]models.TaskState, error) {
	var values []any
	for _, f := range batch {
		text, err := jsonText(f.end.err)
		if err != nil {
			return nil, err
		}
		var result any
		if f.end.result != nil {
			result = string(f.end.result)
		}
		values = append(values, f.task.ID, f.end.state, text, result, f.task.ClaimID)
	}
	var rows []struct {
		ID    uuid.UUID        `bun:"pulp_id"`
		State models.TaskState `bun:"state"`
	}
	err := idb.NewRaw(finishSQL, sqldialect.Named{
		"now":    q.kind.Now(),
		"values": bun.SafeQuery(q.kind.Values(len(batch), "uuid", "text", "jsonb", "jsonb", "uuid"), values...),
	}).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	states := make(map[uuid.UUID]models.TaskState, len(rows))
	for _, r := range rows {
		states[r.ID] = r.State
	}
	return states, nil
}

// finishedBefore tells a task that this worker had ended from one that was taken from it.
func (q *Queue) finishedBefore(ctx context.Context, c *claimed) (models.TaskState, error) {
	var states []models.TaskState
	err := q.db.Bun().NewRaw("SELECT state FROM core_task WHERE pulp_id = ? AND claim_id = ?", c.ID, c.ClaimID).
		Scan(ctx, &states)
	if err != nil {
		return "", err
	}
	if len(states) == 0 || !states[0].Final() {
		return "", errFenced
	}
	return states[0], nil
}

// endReports gives the progress reports of tasks that are still running a final state.
func endReports(ctx context.Context, idb bun.IDB, state models.TaskState, tasks ...uuid.UUID) error {
	_, err := idb.NewRaw(`UPDATE core_progressreport SET state = ?, pulp_last_updated = ?
		WHERE task_id IN (?) AND state IN ('waiting', 'running')`, state, models.Now(), bun.List(tasks)).Exec(ctx)
	return err
}

// jsonText returns e as an argument; nil is NULL. Each text is storable.
func jsonText(e *models.TaskError) (any, error) {
	if e == nil {
		return nil, nil
	}
	clean := *e
	clean.Description, clean.Reason = storable(e.Description), storable(e.Reason)
	if e.Traceback != nil {
		t := storable(*e.Traceback)
		clean.Traceback = &t
	}
	b, err := json.Marshal(clean)
	return string(b), err
}

// maxErrorText is how many bytes of each text of an error are stored.
const maxErrorText = 64 << 10

// storable returns a text without NUL bytes, which Postgres cannot store, and cut to what an error may have.
func storable(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= maxErrorText {
		return text
	}
	const mark = " […]"
	return strings.ToValidUTF8(text[:maxErrorText-len(mark)], "") + mark
}

// CompleteTx ends the task as completed within tx, the last transaction of its function: what tx wrote and the end of
// the task become true together, or neither. result is stored as JSON with the task; nil stores none. Progress reports
// that are running then are completed with what they have counted.
//
// Afterwards the function should return. What it returns changes nothing; an error is logged. Its later transactions
// fail with [ErrLost].
//
// Errors: [ErrCanceled] if the task is being canceled; [ErrLost] if it is not this worker's any more; Conflict if it
// was completed before; Invalid for a result of more than 16 MiB. The transaction must be rolled back then.
func (e *Env) CompleteTx(ctx context.Context, tx *models.Tx, result any) error {
	end := ending{state: models.Completed}
	if result != nil {
		raw, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("tasking: result of %s: %w", e.claimed.Name, err)
		}
		if err := checkResult(e.claimed.Name, raw); err != nil {
			return err
		}
		end.result = raw
	}
	if err := e.completion.begin(); err != nil {
		return err
	}
	w, list := e.worker, reservations(e.claimed.reserved())
	if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), list, 0); err != nil {
		return taskdb.Wrap(err, "complete task %s", e.claimed.ID)
	}
	reports, err := e.reports.write(ctx, tx.Bun()) // before the task's row is locked, like whoever else writes them
	if err != nil {
		return taskdb.Wrap(err, "complete task %s", e.claimed.ID)
	}
	done, err := w.finishIn(ctx, tx.Bun(), []*finishing{{task: e.claimed, end: end, reported: true}},
		[][]taskdb.Reservation{list})
	switch {
	case err != nil:
		return taskdb.Wrap(err, "complete task %s", e.claimed.ID)
	case done[0].state == models.Canceled:
		return ErrCanceled
	case done[0].state == "":
		return ErrLost
	}
	tx.AfterCommit(func() {
		e.completion.end()
		for _, r := range reports {
			if r.State == models.Running {
				r.State = models.Completed
			}
			w.q.emit(progressEvent(e.Task, &r))
		}
		if !e.isolated { // else the worker tells of it
			w.q.emit(taskEvent(e.Task, models.Completed))
		}
		w.q.deliver(ctx, done[0].ready...)
	})
	return nil
}
