package worker_test

import (
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestRedeliveryGoesOnInPages has two workers make very many tasks due in turn, one of which may not begin yet.
func TestRedeliveryGoesOnInPages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		const ready = 2500
		b.pileRows(ready)
		b.exec("UPDATE core_task SET queue = 'immediate' WHERE seq % 10 = 0")
		b.exec("UPDATE core_task SET not_before = deliver_due WHERE seq = 7")
		if err := worker.RedeliverAll(t.Context(), b.q); err != nil {
			t.Fatal(err)
		}
		workers := []*worker.Worker{b.worker(worker.Options{}), b.worker(worker.Options{})}
		var due []int
		for i := range 3 {
			more, err := worker.RedeliverPage(t.Context(), workers[i%2])
			if err != nil || more != (i < 2) {
				t.Errorf("page %d: %t, %v", i, more, err)
			}
			var n int
			err = b.db.Bun().NewRaw("SELECT count(*) FROM core_task WHERE deliver_due <= ? AND unblocked_at IS NOT NULL",
				models.Now().Add(time.Minute)).Scan(t.Context(), &n)
			if err != nil {
				t.Fatal(err)
			}
			due = append(due, n)
		}
		if due[0] != 999 || due[1] != 1999 || due[2] != ready-1 {
			t.Errorf("due after each page = %d, want 1000 more each, without the one that may not begin yet", due)
		}
		if more, err := worker.RedeliverPage(t.Context(), workers[0]); more || err != nil {
			t.Errorf("one page more: %t, %v", more, err)
		}
		var blocked int
		err := b.db.Bun().NewRaw("SELECT count(*) FROM core_task WHERE unblocked_at IS NULL AND deliver_due IS NOT NULL").
			Scan(t.Context(), &blocked)
		if err != nil || blocked != 0 {
			t.Errorf("%d blocked tasks are due, %v", blocked, err)
		}
		b.exec("DELETE FROM core_taskresource")
		b.exec("DELETE FROM core_task")
	})
}
