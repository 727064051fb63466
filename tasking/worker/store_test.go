package worker_test

import (
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestFenceOfABatchTellsClaimsApart has one who lost a task write together with one who has it now.
func TestFenceOfABatchTellsClaimsApart(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		id := b.dispatch(blockArgs{})
		lost := b.claim(id)
		if err := worker.NewEnder(b.q).Again(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		has := b.claim(id)
		scope := func(c *worker.Claimed) *models.TaskScope {
			return &models.TaskScope{TaskID: id, ClaimID: c.ClaimID}
		}
		for name, scopes := range map[string][]*models.TaskScope{
			"lost first": {scope(lost), scope(has)}, "lost last": {scope(has), nil, scope(lost)}, "lost": {scope(lost)},
		} {
			if err := worker.FenceAll(t.Context(), b.db, scopes); err == nil {
				t.Errorf("%s: whoever lost the task may write", name)
			}
		}
		if err := worker.FenceAll(t.Context(), b.db, []*models.TaskScope{scope(has), scope(has)}); err != nil {
			t.Errorf("whoever has the task may not write: %v", err)
		}
		b.endAll(has)
	})
}
