package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

const workerModel = "AppStatus"

func workerColumns() []string {
	return []string{"pulp_id", "pulp_created", "pulp_last_updated", "name", "last_heartbeat"}
}

func (a *API) workerParams() []*param {
	list := identityParams("w.pulp_id")
	list = append(list, a.hrefsParam("w.pulp_id"), a.prnsParam("w.pulp_id"))
	list = append(list, Name.params("name", "w.name")...)
	list = append(list, Date.params("last_heartbeat", "w.last_heartbeat")...)
	for _, name := range []string{"online", "missing"} {
		p := &param{name: name, doc: "Whether there was a heartbeat lately", form: boolFilter}
		p.cond = func(ctx context.Context, c *call, raw string) ([]cond, error) {
			values, err := p.values(raw)
			if err != nil {
				return nil, err
			}
			return c.onlineCond(ctx, (values[0] == true) == (p.name == "online"))
		}
		list = append(list, p)
	}
	return list
}

func (c *call) onlineCond(ctx context.Context, want bool) ([]cond, error) {
	workers, err := c.api.queue.Workers(ctx)
	if err != nil {
		return nil, err
	}
	ids := []uuid.UUID{uuid.Nil} // never empty
	for _, w := range workers {
		if online(w) == want {
			ids = append(ids, w.ID)
		}
	}
	return []cond{{"w.pulp_id IN (?)", []any{bun.List(ids)}}}, nil
}

// online reports whether the last heartbeat of a process is recent.
func online(w *models.Worker) bool {
	return time.Since(w.LastHeartbeat) < time.Duration(w.TTL)*time.Millisecond
}

func (a *API) addWorkers() {
	params := a.workerParams()
	o := operation{tag: "Workers", path: "workers/", answer: "WorkerResponse"}
	a.add(o.with("GET", "workers_list", "List workers", func(ctx context.Context, c *call) error {
		return c.listWorkers(ctx, params)
	}).lists(params, workerColumns()))
	o.path, o.entity = "workers/{pulp_id}/", "worker_href"
	a.add(o.with("GET", "workers_read", "Inspect a worker", readWorker).sparse())
}

func (c *call) listWorkers(ctx context.Context, params []*param) error {
	q, err := c.readList(ctx, params, workerColumns())
	if err != nil {
		return err
	}
	var rows []*models.Worker
	sel := q.apply(c.db.Bun().NewSelect().Model(&rows).Where("w.kind = ?", tasking.KindWorker))
	count, err := sel.Clone().Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count workers: %w", err)
	}
	if err := q.window(sel, "w", newestFirst).Scan(ctx); err != nil {
		return fmt.Errorf("rest: list workers: %w", err)
	}
	results, err := c.workerObjects(ctx, rows)
	if err != nil {
		return err
	}
	return c.answerPage(q, count, results)
}

func readWorker(ctx context.Context, c *call) error {
	id, err := c.id(workerModel)
	if err != nil {
		return err
	}
	w, err := c.api.queue.Worker(ctx, id)
	if errors.Is(err, pulperr.NotFound) {
		return notFound(workerModel)
	}
	if err != nil {
		return err
	}
	list, err := c.workerObjects(ctx, []*models.Worker{w})
	if err != nil {
		return err
	}
	return c.answerObject(http.StatusOK, list[0])
}

func (c *call) workerObjects(ctx context.Context, rows []*models.Worker) ([]object, error) {
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
	err := c.db.Bun().NewSelect().TableExpr("core_task").Column("pulp_id", "worker_id").
		Where("worker_id IN (?)", bun.List(ids)).Where("state IN (?, ?)", models.Running, models.Canceling).
		OrderExpr("started_at DESC").Scan(ctx, &running)
	if err != nil {
		return nil, fmt.Errorf("rest: tasks of workers: %w", err)
	}
	current := make(map[uuid.UUID]any, len(running))
	for _, t := range running {
		current[t.Worker] = c.api.coreHref(taskKind, t.ID)
	}
	out := make([]object, len(rows))
	for i, w := range rows {
		out[i] = append(object{
			{"pulp_href", c.api.coreHref(workerKind, w.ID)},
			{"prn", models.CorePRN(workerKind, w.ID)},
			{"pulp_created", w.Created},
			{"pulp_last_updated", w.Updated},
		}, append(processObject(w), member{"current_task", current[w.ID]})...)
	}
	return out, nil
}

// processObject is what the status says about a process.
func processObject(w *models.Worker) object {
	versions := w.Versions
	if versions == nil {
		versions = map[string]string{}
	}
	return object{{"name", w.Name}, {"last_heartbeat", w.LastHeartbeat}, {"versions", versions}}
}
