package inspect

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// GroupReports returns the progress reports of groups, for each group in the order in which they were declared.
func GroupReports(ctx context.Context, db *models.DB, groups ...uuid.UUID) ([]*models.GroupProgressReport, error) {
	return taskdb.GroupReports(ctx, taskdb.On(db), groups...)
}

// GroupCounts returns how many tasks of groups are in each state, in one statement. Each group has an entry; states
// without any task are left out.
func GroupCounts(
	ctx context.Context, db *models.DB, groups ...uuid.UUID,
) (map[uuid.UUID]map[models.TaskState]int, error) {
	return taskdb.GroupCounts(ctx, taskdb.On(db), groups...)
}
