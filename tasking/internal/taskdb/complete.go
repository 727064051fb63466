package taskdb

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Completion is how an attempt ends its task.
type Completion struct {
	Task   *Claimed
	State  models.TaskState // Completed or Failed; a task that is being canceled becomes Canceled instead
	Err    *models.TaskError
	Result json.RawMessage // nil stores none
}

// Columns of the values: id, state, error, result, claim.
const completeSQL = `UPDATE core_task SET finished_at = ?now, pulp_last_updated = ?now,
		result = CASE WHEN core_task.state = 'running' THEN v.column4 END,
		error = CASE WHEN core_task.state = 'running' THEN v.column3 ELSE core_task.error END,
		state = CASE WHEN core_task.state = 'running' THEN v.column2 ELSE 'canceled' END
	FROM (?values) AS v
	WHERE pulp_id = v.column1 AND claim_id = v.column5 AND (core_task.state IN ('running', 'canceling')) IS TRUE
	RETURNING pulp_id, state`

// Complete stores how tasks ended and returns their final states. A task that is not executed under its claim has none.
// It needs a transaction, in which [Release] follows.
func Complete(ctx context.Context, c Conn, list []Completion) (map[uuid.UUID]models.TaskState, error) {
	values := make([]any, 0, 5*len(list))
	for _, e := range list {
		text, err := errorText(e.Err)
		if err != nil {
			return nil, err
		}
		var result any
		if e.Result != nil {
			result = string(e.Result)
		}
		values = append(values, e.Task.ID, e.State, text, result, e.Task.ClaimID)
	}
	var rows []struct {
		ID    uuid.UUID        `bun:"pulp_id"`
		State models.TaskState `bun:"state"`
	}
	err := c.NewRaw(completeSQL, sqldialect.Named{
		"now":    c.Now(),
		"values": bun.SafeQuery(c.Values(len(list), "uuid", "text", "jsonb", "jsonb", "uuid"), values...),
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

// FinalState returns the state in which an attempt ended its task. After a lost answer it shows whether [Complete]
// succeeded.
//
// Errors: [ErrNotClaimed] if the task has not ended under the claim.
func FinalState(ctx context.Context, c Conn, t *Claimed) (models.TaskState, error) {
	var states []models.TaskState
	err := c.NewRaw("SELECT state FROM core_task WHERE pulp_id = ? AND claim_id = ?", t.ID, t.ClaimID).Scan(ctx, &states)
	if err != nil {
		return "", err
	}
	if len(states) == 0 || !states[0].Final() {
		return "", ErrNotClaimed
	}
	return states[0], nil
}

// EndReports gives the progress reports of tasks that are still running a final state.
func EndReports(ctx context.Context, c Conn, state models.TaskState, tasks ...uuid.UUID) error {
	_, err := c.NewRaw(`UPDATE core_progressreport SET state = ?, pulp_last_updated = ?
		WHERE task_id IN (?) AND state IN ('waiting', 'running')`, state, models.Now(), bun.List(tasks)).Exec(ctx)
	return err
}

const noteSQL = `UPDATE core_task SET error = ?error, pulp_last_updated = ?now
	WHERE pulp_id = ?id AND claim_id = ?claim AND state = 'canceling'`

// SetError stores the error of a task that is being canceled. The task keeps it when it ends.
func SetError(ctx context.Context, c Conn, t *Claimed, e *models.TaskError) error {
	text, err := errorText(e)
	if err != nil {
		return err
	}
	_, err = c.NewRaw(c.JSONCase(noteSQL, "?error"), sqldialect.Named{
		"error": text, "now": c.Now(), "id": t.ID, "claim": t.ClaimID,
	}).Exec(ctx)
	return err
}

// errorText returns e as an argument; nil is NULL.
func errorText(e *models.TaskError) (any, error) {
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

// storable returns a text without NUL bytes, which Postgres cannot store, cut to maxErrorText.
func storable(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= maxErrorText {
		return text
	}
	const mark = " […]"
	// The cut may split a character.
	return strings.ToValidUTF8(text[:maxErrorText-len(mark)], "") + mark
}

// IncompleteResources returns the PRNs of what a task has created and not finished.
func IncompleteResources(ctx context.Context, c Conn, task uuid.UUID) (prns []string, err error) {
	err = c.NewRaw("SELECT prn FROM core_createdresource WHERE task_id = ? AND incomplete", task).Scan(ctx, &prns)
	return prns, err
}

// ForgetCreated removes a resource from the record of what a task has created.
func ForgetCreated(ctx context.Context, c Conn, task uuid.UUID, prn string) error {
	_, err := c.NewRaw("DELETE FROM core_createdresource WHERE task_id = ? AND prn = ?", task, prn).Exec(ctx)
	return err
}

// WriteReport stores the state and the numbers of a progress report, and reports false if it has ended before.
func WriteReport(ctx context.Context, c Conn, r *models.ProgressReport) (bool, error) {
	// The condition on the state keeps a goroutine that the function left behind from opening a report again.
	n, err := Exec(ctx, c, `UPDATE core_progressreport SET state = ?, total = ?, done = ?, suffix = ?,
		pulp_last_updated = ? WHERE pulp_id = ? AND state IN ('waiting', 'running')`,
		r.State, r.Total, r.Done, r.Suffix, models.Now(), r.ID)
	return n > 0, err
}
