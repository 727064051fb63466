package core

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// AppStatus is what the status has of a process.
type AppStatus struct {
	Name      string            `json:"name" doc:"The name of the process."`
	Heartbeat wire.Time         `json:"last_heartbeat" doc:"When it sent its last heartbeat."`
	Versions  map[string]string `json:"versions" doc:"The versions of its components by name."`
}

func appStatus(w *models.Worker) AppStatus {
	versions := w.Versions
	if versions == nil {
		versions = map[string]string{}
	}
	return AppStatus{w.Name, wire.Time(w.LastHeartbeat), versions}
}

// Worker is the answer about a worker.
type Worker struct {
	Row
	AppStatus
	Task *wire.Href `json:"current_task" doc:"The task that it runs."`
}

// Workers renders workers with the tasks that they run.
func Workers(ctx context.Context, db *models.DB, l *links.Links, rows []*models.Worker) ([]Worker, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(rows))
	for i, w := range rows {
		ids[i] = w.ID
	}
	var running []struct {
		ID     uuid.UUID `bun:"pulp_id"`
		Worker uuid.UUID `bun:"worker_id"`
	}
	err := db.Bun().NewSelect().TableExpr("core_task").Column("pulp_id", "worker_id").
		Where("worker_id IN (?)", bun.List(ids)).Where("state IN (?, ?)", models.Running, models.Canceling).
		OrderExpr("started_at DESC").Scan(ctx, &running)
	if err != nil {
		return nil, fmt.Errorf("rest: tasks of workers: %w", err)
	}
	current := make(map[uuid.UUID]*wire.Href, len(running))
	// A worker may run several tasks. Later rows replace earlier ones, so the task that runs longest is shown.
	for _, t := range running {
		current[t.Worker] = href(l, links.Task, &t.ID)
	}
	out := make([]Worker, len(rows))
	for i, w := range rows {
		out[i] = Worker{rowOf(l, links.Worker, w.Base), appStatus(w), current[w.ID]}
	}
	return out, nil
}

// online reports whether the last heartbeat of a process is recent.
func online(w *models.Worker) bool {
	return time.Since(w.LastHeartbeat) < time.Duration(w.TTL)*time.Millisecond
}

// WorkerColumns returns what lists of workers can be ordered by.
func WorkerColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "name", "last_heartbeat"}
}

// WorkerParams returns the filters of lists of workers, with the table's alias w.
func WorkerParams(refs query.References) []*query.Param {
	list := refs.Identity("w.pulp_id")
	list = append(list, query.NameFilter().Params("name", "w.name")...)
	list = append(list, query.TimeFilter().Params("last_heartbeat", "w.last_heartbeat")...)
	for _, name := range []string{"online", "missing"} {
		p := &query.Param{Name: name, Doc: "Whether there was a heartbeat lately", Form: query.Bool}
		p.Where = func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			values, err := p.Values(raw)
			if err != nil {
				return nil, err
			}
			return onlineCond(ctx, db, (values[0] == true) == (p.Name == "online"))
		}
		list = append(list, p)
	}
	return list
}

// onlineCond narrows workers by their heartbeats. They are compared here, for the databases add times differently.
func onlineCond(ctx context.Context, db *models.DB, want bool) ([]models.Cond, error) {
	var workers []*models.Worker
	err := db.Bun().NewSelect().Model(&workers).Column("pulp_id", "last_heartbeat", "ttl_ms").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: heartbeats of workers: %w", err)
	}
	ids := []uuid.UUID{uuid.Nil} // an empty list is no SQL
	for _, w := range workers {
		if online(w) == want {
			ids = append(ids, w.ID)
		}
	}
	return []models.Cond{models.Where("w.pulp_id IN (?)", bun.List(ids))}, nil
}
