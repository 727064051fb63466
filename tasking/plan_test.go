package tasking_test

import (
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// The present is compared in an index: with a clock that changes while the statement runs, Postgres would read all ready
// tasks, and every worker asks each second.
func TestThePresentIsLookedUpInAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), "")
	ctx := t.Context()
	tx, err := b.db.Conn().Bun.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "SET LOCAL enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	for table, query := range map[string]string{
		"core_task_ready": `SELECT pulp_id FROM core_task WHERE state = 'waiting' AND unblocked_at IS NOT NULL
			AND deliver_due <= ?now`,
		"core_taskschedule_due": "SELECT pulp_id FROM core_taskschedule WHERE next_dispatch <= ?now",
	} {
		var plan []string
		err := tx.NewRaw("EXPLAIN "+query, sqldialect.Named{"now": sqldialect.Postgres.Now()}).Scan(ctx, &plan)
		text := strings.Join(plan, "\n")
		if err != nil || !strings.Contains(text, table) || !strings.Contains(text, "Index Cond: (") {
			t.Errorf("%s: %v\n%s", query, err, text)
		}
	}
}
