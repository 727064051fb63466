package taskpage

import (
	"context"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// How many rows each part of the page has at most.
const (
	maxRunning  = 50
	maxWaiting  = 50
	maxGroups   = 10
	maxWorkers  = 20
	maxFinished = 15
	maxReports  = 10 // of one task
	maxReserved = 20 // of one task
)

// overview is what the page shows.
type overview struct {
	API      string
	Domain   string
	Now      time.Time
	Counts   map[models.TaskState]int
	Running  []runningTask
	Waiting  []waitingTask
	Groups   []taskGroup
	Workers  []workerRow
	Online   int // workers
	Missing  int
	Finished []*models.Task

	// More reports of each part whether there are more rows than are shown.
	More struct{ Running, Waiting, Groups, Workers, Finished bool }
}

// Count returns how many tasks are in a state that is not final.
func (o *overview) Count(state string) int { return o.Counts[models.TaskState(state)] }

type runningTask struct {
	*models.Task
	Worker  string
	Reports []*models.ProgressReport
	More    bool // reports than those
}

// reserved is a resource that a task has.
type reserved struct {
	Name   string
	Shared bool
}

// Reserved returns what the task has, without the domain, which every task shares.
func (t runningTask) Reserved() []reserved {
	var list []reserved
	for _, name := range t.ReservedResources {
		name, shared := strings.CutPrefix(name, "shared:")
		if !shared || !strings.HasPrefix(name, "prn:core.domain:") {
			list = append(list, reserved{name, shared})
		}
	}
	list, _ = first(list, maxReserved)
	return list
}

type waitingTask struct {
	*models.Task
	Waits []inspect.Obstacle
}

// Ready reports whether the task waits only for a worker.
func (t waitingTask) Ready() bool { return t.UnblockedAt != nil }

type taskGroup struct {
	*models.TaskGroup
	Counts                     map[models.TaskState]int
	Total, Final, Failed, Open int
	Reports                    []*models.GroupProgressReport
}

type workerRow struct {
	*models.Worker
	Online bool
}

func (p *page) overview(ctx context.Context) (*overview, error) {
	o := &overview{API: p.api, Now: models.Now()}
	if d := p.q.DB().Domain(); d != nil {
		o.Domain = d.Name
	}
	for _, read := range []func(context.Context, *overview) error{
		// readRunning shows the names of workers, which readWorkers has read before it.
		p.readCounts, p.readWorkers, p.readRunning, p.readWaiting, p.readGroups, p.readFinished,
	} {
		if err := read(ctx, o); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (p *page) readCounts(ctx context.Context, o *overview) (err error) {
	o.Counts, err = inspect.Unfinished(ctx, p.q.DB())
	return err
}

func (p *page) readWorkers(ctx context.Context, o *overview) error {
	list, err := inspect.Workers(ctx, p.q.DB())
	if err != nil {
		return err
	}
	for _, w := range list {
		online := o.Now.Sub(w.LastHeartbeat) <= time.Duration(w.TTL)*time.Millisecond
		if w.Kind == worker.KindWorker && online {
			o.Online++
		} else if w.Kind == worker.KindWorker {
			o.Missing++
		}
		o.Workers = append(o.Workers, workerRow{w, online})
	}
	o.Workers, o.More.Workers = first(o.Workers, maxWorkers)
	return nil
}

// list returns tasks, and whether there are more of them than limit.
func (p *page) list(ctx context.Context, limit int, order, where string) ([]*models.Task, bool, error) {
	list, err := inspect.List(ctx, p.q.DB(), func(sel *bun.SelectQuery) *bun.SelectQuery {
		// One row more than the page shows, to know whether there are others without counting them.
		return sel.Where(where).OrderExpr(order).Limit(int64(limit) + 1)
	})
	list, more := first(list, limit)
	return list, more, err
}

func first[T any](list []T, n int) ([]T, bool) {
	if len(list) > n {
		return list[:n], true
	}
	return list, false
}

func (p *page) readRunning(ctx context.Context, o *overview) error {
	list, more, err := p.list(ctx, maxRunning, "t.started_at, t.pulp_id", "t.state IN ('running', 'canceling')")
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(list))
	for i, t := range list {
		ids[i] = t.ID
	}
	reports, err := inspect.ProgressReports(ctx, p.q.DB(), ids...)
	if err != nil {
		return err
	}
	byTask := map[uuid.UUID][]*models.ProgressReport{}
	for _, r := range reports {
		byTask[r.TaskID] = append(byTask[r.TaskID], r)
	}
	names := map[uuid.UUID]string{}
	for _, w := range o.Workers {
		names[w.ID] = w.Name
	}
	for _, t := range list {
		r := runningTask{Task: t}
		if t.WorkerID != nil {
			r.Worker = names[*t.WorkerID]
		}
		r.Reports, r.More = first(byTask[t.ID], maxReports)
		o.Running = append(o.Running, r)
	}
	o.More.Running = more
	return nil
}

func (p *page) readWaiting(ctx context.Context, o *overview) error {
	list, more, err := p.list(ctx, maxWaiting, "t.seq", "t.state = 'waiting'")
	if err != nil {
		return err
	}
	blocked, err := inspect.Blocked(ctx, p.q.DB(), maxWaiting)
	if err != nil {
		return err
	}
	waits := map[uuid.UUID][]inspect.Obstacle{}
	for _, b := range blocked {
		waits[b.Task.ID] = b.Obstacles
	}
	for _, t := range list {
		o.Waiting = append(o.Waiting, waitingTask{t, waits[t.ID]})
	}
	o.More.Waiting = more
	return nil
}

func (p *page) readGroups(ctx context.Context, o *overview) error {
	var rows []*models.TaskGroup
	db := p.q.DB()
	err := db.Bun().NewSelect().Model(&rows).Where("tg.pulp_domain_id = ?", db.Domain().ID).
		OrderExpr("tg.pulp_created DESC, tg.pulp_id DESC").Limit(maxGroups + 1).Scan(ctx)
	if err != nil {
		return fmt.Errorf("taskpage: list groups: %w", err)
	}
	rows, o.More.Groups = first(rows, maxGroups)
	for _, row := range rows {
		g, err := p.q.Group(ctx, row.ID)
		if err != nil {
			return err
		}
		t := taskGroup{TaskGroup: row}
		if t.Counts, err = g.Counts(ctx); err != nil {
			return err
		}
		if t.Reports, err = g.Reports(ctx); err != nil {
			return err
		}
		t.Reports, _ = first(t.Reports, maxReports)
		for state, n := range t.Counts {
			t.Total += n
			if state.Final() {
				t.Final += n
			}
		}
		t.Open, t.Failed = t.Total-t.Final, t.Counts[models.Failed]
		o.Groups = append(o.Groups, t)
	}
	return nil
}

func (p *page) readFinished(ctx context.Context, o *overview) (err error) {
	o.Finished, o.More.Finished, err = p.list(ctx, maxFinished, "t.finished_at DESC, t.pulp_id DESC",
		"t.finished_at IS NOT NULL")
	return err
}

func functions() template.FuncMap {
	return template.FuncMap{
		"short": short, "resource": resource, "ago": ago, "took": took, "iso": iso, "percent": percent, "reason": reason,
	}
}

// short is the part of an id that people compare.
func short(id uuid.UUID) string {
	s := id.String()
	return s[len(s)-8:]
}

// resource shortens a PRN to its kind and the end of its id; other names stay.
func resource(name string) string {
	prn, err := models.ParsePRN(name)
	if err != nil {
		return name
	}
	return prn.Plugin + "." + prn.Model + " " + short(prn.ID)
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago is the time since t, roughly.
func ago(now, t time.Time) string { return span(now.Sub(t)) }

// took is how long a task ran; one that never did took no time.
func took(t *models.Task) string {
	if t.StartedAt == nil || t.FinishedAt == nil {
		return "–"
	}
	d := t.FinishedAt.Sub(*t.StartedAt)
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 0))
	}
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return span(d)
}

func span(d time.Duration) string {
	// The time may come from a process whose clock is ahead.
	s := int(max(d, 0).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

// percent is how much of total is done, from 0 to 100.
func percent(done, total int64) int64 {
	if total <= 0 {
		return 0
	}
	// A plugin reports both numbers, and more may be done than it expected.
	return int64(min(max(float64(done)/float64(total), 0), 1) * 100)
}

// reason is why a task failed or was canceled.
func reason(t *models.Task) string {
	if t.Error == nil {
		return ""
	}
	return strings.TrimSpace(t.Error.Description + " " + t.Error.Reason)
}
