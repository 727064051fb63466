package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// instruments count and measure events as they happen.
type instruments struct {
	dispatches, starts, finishes, relays, resets, repairs, duplicates, fenced, reaps metric.Int64Counter

	batches             metric.Int64Histogram
	waits, grants, runs metric.Float64Histogram
}

// open makes the instruments. Their names, units and meanings are those of docs/operations.md.
func (i *instruments) open(m metric.Meter) error {
	var faults []error
	counter := func(into *metric.Int64Counter, name, unit, text string) {
		c, err := m.Int64Counter("pulp.tasks."+name, metric.WithUnit(unit), metric.WithDescription(text))
		*into, faults = c, append(faults, err)
	}
	seconds := func(into *metric.Float64Histogram, name, text string, bounds ...float64) {
		h, err := m.Float64Histogram("pulp.tasks."+name, metric.WithUnit("s"), metric.WithDescription(text),
			metric.WithExplicitBucketBoundaries(bounds...))
		*into, faults = h, append(faults, err)
	}
	counter(&i.dispatches, "dispatched", "{task}", "Tasks that were dispatched.")
	counter(&i.starts, "started", "{task}", "Attempts to execute a task that began.")
	counter(&i.finishes, "finished", "{task}", "Attempts that ended, and tasks canceled before they began.")
	counter(&i.relays, "redelivered", "{task}", "Tasks that were announced in Redis once more.")
	counter(&i.resets, "redis_resets", "{reset}", "Times that Redis was new or had lost its data.")
	counter(&i.repairs, "repairs", "{repair}", "Reservations that had to be repaired; more than 0 is a fault.")
	counter(&i.duplicates, "duplicates", "{claim}", "Claims that found nothing to claim.")
	counter(&i.fenced, "fenced", "{task}", "Attempts whose task had been taken from the worker when they ended.")
	counter(&i.reaps, "reaped_workers", "{worker}", "Workers that were declared dead.")
	latency := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	seconds(&i.waits, "wait.duration", "From the dispatch of a task to its first start.", latency...)
	seconds(&i.grants, "start.duration", "From when no other task blocked a task to its first start.", latency...)
	seconds(&i.runs, "run.duration", "How long an attempt took.",
		.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
	h, err := m.Int64Histogram("pulp.tasks.batch.size", metric.WithUnit("{task}"),
		metric.WithDescription("Tasks that were written together."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64))
	i.batches = h
	return errors.Join(append(faults, err)...)
}

func since(began time.Time) float64 { return time.Since(began).Seconds() }

const (
	// backlogFresh is how long the counts of the backlog stay valid.
	backlogFresh = 5 * time.Second
	// backlogShare is how many times as long as their query took the counts stay valid at least: the query uses a
	// twentieth of the time at most.
	backlogShare = 20
	// backlogTimeout is how long the query may take.
	backlogTimeout = 5 * time.Second
	// stuckAfter is how long a canceled task may go on until it counts as stuck.
	stuckAfter = 30 * time.Second
)

// backlogGauges show the counts of unfinished tasks in the database. All processes show the same.
type backlogGauges struct {
	db *models.DB

	ready, blocked, delayed, running, stuck metric.Int64ObservableGauge
	age                                     metric.Float64ObservableGauge

	mu     sync.Mutex
	counts map[string]taskdb.QueueCounts // by queue
	until  time.Time                     // counts hold
}

// register makes the gauges and has them read the database at each collection.
func (b *backlogGauges) register(m metric.Meter) (metric.Registration, error) {
	var faults []error
	var all []metric.Observable
	gauge := func(into *metric.Int64ObservableGauge, name, text string) {
		g, err := m.Int64ObservableGauge("pulp.tasks."+name, metric.WithUnit("{task}"), metric.WithDescription(text))
		*into, faults, all = g, append(faults, err), append(all, g)
	}
	gauge(&b.ready, "ready", "Tasks that may run and that no worker has begun.")
	gauge(&b.blocked, "blocked", "Tasks that wait for earlier ones.")
	gauge(&b.delayed, "delayed", "Tasks that wait for the time of their next attempt.")
	gauge(&b.running, "running", "Tasks that workers execute.")
	gauge(&b.stuck, "stuck", "Tasks that were canceled long ago and go on.")
	age, err := m.Float64ObservableGauge("pulp.tasks.ready_age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest ready task has been ready."))
	b.age = age
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return m.RegisterCallback(b.observe, append(all, age)...)
}

func (b *backlogGauges) observe(ctx context.Context, o metric.Observer) error {
	counts, err := b.look(ctx)
	if err != nil {
		return taskdb.Wrap(err, "count unfinished tasks")
	}
	for _, queue := range []string{DefaultQueue, ImmediateQueue} { // one without tasks has zeros
		c, set := counts[queue], attributes(queueKey.String(queue))
		o.ObserveInt64(b.ready, c.Ready, set)
		o.ObserveInt64(b.blocked, c.Blocked, set)
		o.ObserveInt64(b.delayed, c.Delayed, set)
		o.ObserveInt64(b.running, c.Running, set)
		o.ObserveInt64(b.stuck, c.Stuck, set)
		age := 0.0
		if c.Oldest != nil {
			age = max(c.Now.Sub(*c.Oldest).Seconds(), 0)
		}
		o.ObserveFloat64(b.age, age, set)
	}
	return nil
}

// look returns the counts of the database, which may be some seconds old.
func (b *backlogGauges) look(ctx context.Context) (map[string]taskdb.QueueCounts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The lock is held during the query, so that collections at the same time share its result.
	began := time.Now()
	if began.Before(b.until) {
		return b.counts, nil
	}
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	rows, err := taskdb.CountUnfinished(ctx, taskdb.On(b.db), stuckAfter)
	if err != nil {
		return nil, err
	}
	b.counts = make(map[string]taskdb.QueueCounts, len(rows))
	for _, r := range rows {
		b.counts[r.Queue] = r
	}
	b.until = began.Add(max(backlogFresh, backlogShare*time.Since(began)))
	return b.counts, nil
}
