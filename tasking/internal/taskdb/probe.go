package taskdb

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	// ReadPage is how many ids one statement names at most.
	ReadPage = 500
	// MaxProbes is how many probes share a statement.
	MaxProbes = 100
)

// Reserved is a reservation that was found.
type Reserved struct {
	Probe int       `bun:"probe"`
	Seq   int64     `bun:"seq"`
	ID    uuid.UUID `bun:"task_id"`
}

// Probe asks for the reservations of one kind that come before a task at a resource. There is one per kind because the
// index of reservations has the kind before the place in the queue.
type Probe struct {
	Blocked   int   // index of the waiting task
	From, Seq int64 // the places that are asked for: from the first of them to before the second
	Key       int64
	Resource  string
	Exclusive bool // how the waiting task wants it
	Others    bool // whether the holders that are asked for are exclusive
}

// Probes returns the probes for what comes before a task at one of its resources, by the name in the task's row.
func Probes(blocked int, seq int64, name string) []Probe {
	r := ReservationsOf([]string{name})[0]
	p := Probe{Blocked: blocked, Seq: seq, Key: r.Key, Exclusive: r.Exclusive, Others: true}
	p.Resource = strings.TrimPrefix(name, SharedPrefix)
	if !p.Exclusive {
		return []Probe{p}
	}
	shared := p
	shared.Others = false
	return []Probe{p, shared}
}

// MakeProbes fills in what each of the probes finds, at most limit reservations.
func MakeProbes(ctx context.Context, c Conn, probes []Probe, found [][]Reserved, limit int) error {
	parts := make([]string, len(probes))
	var args []any
	for i, p := range probes {
		// The order leaves the planner no choice but the primary key, as in occupiedPostgres.
		parts[i] = `SELECT * FROM (SELECT CAST(? AS BIGINT) AS probe, seq, task_id FROM core_taskresource
			WHERE rkey = ? AND exclusive = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?) AS p`
		args = append(args, i, p.Key, p.Others, p.From, p.Seq, limit)
	}
	if len(parts) == 0 {
		return nil
	}
	var rows []Reserved
	err := c.NewRaw(strings.Join(parts, " UNION ALL ")+" ORDER BY 1, 2", args...).Scan(ctx, &rows)
	for _, r := range rows {
		found[r.Probe] = append(found[r.Probe], r)
	}
	return err
}

// BlockedOf returns those of some tasks that other tasks are in the way of, with their places and resources.
func BlockedOf(ctx context.Context, c Conn, tasks []uuid.UUID) (blocked []*Claimed, err error) {
	err = c.NewRaw(`SELECT pulp_id, seq, reserved_resources FROM core_task
		WHERE pulp_id IN (?) AND (state = 'waiting') IS TRUE AND unblocked_at IS NULL`, bun.List(tasks)).Scan(ctx, &blocked)
	return blocked, err
}
