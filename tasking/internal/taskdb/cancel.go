package taskdb

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// CanceledTask is a task that was canceled before it began.
type CanceledTask struct {
	Seq               int64    `bun:"seq"`
	ReservedResources []string `bun:"reserved_resources,array"`
}

// CancelWaiting cancels a task that has not begun, and returns nil if it is not waiting. It needs a transaction with
// [LockResources], in which [Release] follows.
func CancelWaiting(ctx context.Context, c Conn, id uuid.UUID) (*CanceledTask, error) {
	var rows []*CanceledTask
	err := c.NewRaw(`UPDATE core_task SET state = 'canceled', finished_at = ?now, cancel_requested_at = ?now,
			pulp_last_updated = ?now WHERE pulp_id = ?id AND `+waiting+` RETURNING seq, reserved_resources`,
		sqldialect.Named{"id": id, "now": c.Now()}).Scan(ctx, &rows)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// CancelRunning asks the attempt at a task to stop, and reports false if no attempt runs or if it was asked before.
func CancelRunning(ctx context.Context, c Conn, id uuid.UUID) (bool, error) {
	// The reservations stay: the function may still write until it returns.
	n, err := Exec(ctx, c, `UPDATE core_task SET state = 'canceling', cancel_requested_at = ?now, pulp_last_updated = ?now
		WHERE pulp_id = ?id AND (state = 'running') IS TRUE`, sqldialect.Named{"id": id, "now": c.Now()})
	return n > 0, err
}
