package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// poller takes ready tasks from the database that no message brings to this worker. While Redis is down these are all
// ready tasks; otherwise they are the unattended ones, whose messages are with workers that cannot execute them.
type poller struct {
	db        *models.DB
	transport transport.Transport
	database  transport.Transport // reads ready tasks from the database
	receiver  *receiver           // of the messages of database
	slots     *slots
	drain     <-chan struct{}
	log       *slog.Logger

	arrived map[string]int64 // by queue, the place of the last ready task that was looked at for unattended ones
}

const (
	downInterval       = 250 * time.Millisecond // between two questions of whether Redis works
	downTimeout        = 10 * time.Second       // how long Redis may be down before the database is polled
	unattendedInterval = 5 * time.Second        // between two looks for unattended tasks
	unattendedAge      = 2 * time.Second        // how long such a task has been ready at least
	unattendedPage     = 500                    // ready tasks that are looked at each time
)

// run polls until ctx is done or no new work may begin.
func (p *poller) run(ctx context.Context) {
	ticker := time.NewTicker(downInterval)
	defer ticker.Stop()
	unattended := time.NewTicker(unattendedInterval)
	defer unattended.Stop()
	polls := false
	var ending sync.WaitGroup
	defer ending.Wait()
	stop := func() {
		p.receiver.stop()
		// In a goroutine, because close waits for the handlers, which execute tasks: the poller must notice meanwhile if
		// Redis is down again.
		ending.Go(p.receiver.close)
		// The old receiver still waits for its handlers, so the next outage needs another one.
		p.receiver = p.receiver.fresh()
		polls = false
	}
	for {
		select {
		case <-ticker.C:
		case <-unattended.C:
			p.pollUnattended(ctx)
		// Run stops the consumers of the transport; these are consumers of the poller.
		case <-p.drain:
			stop()
			return
		case <-ctx.Done():
			stop()
			return
		}
		// While Redis is down no message arrives. Consumers that read the database take over until Redis answers (F3).
		switch down := p.transport.Down() >= downTimeout; {
		case down && !polls:
			p.receiver.start(p.database)
			polls = true
		case !down && polls:
			stop()
		}
	}
}

// pollUnattended fills free slots with unattended tasks. It reads one page of each queue; the next call reads the page
// behind it.
func (p *poller) pollUnattended(ctx context.Context) {
	for _, queue := range engine.Queues() {
		// A worker without a free slot could not start what it reads.
		if !p.slots.anyFree(queue) {
			continue
		}
		page, err := taskdb.ReadUnattended(ctx, taskdb.On(p.db), queue, p.arrived[queue], unattendedAge, unattendedPage)
		if err != nil {
			if ctx.Err() == nil {
				p.log.WarnContext(ctx, "ready tasks could not be read; it is tried again", "err", err)
			}
			return
		}
		// A page that is not full ends the queue, and the next poll begins at its front.
		p.arrived[queue] = 0
		if len(page) == unattendedPage {
			p.arrived[queue] = page[unattendedPage-1].Seq
		}
		for _, t := range page {
			if t.Unattended && p.slots.plugins.Fulfil(t.Versions) && !p.slots.start(queue, t.ID) {
				// No slot is left for this task: the next poll begins with it.
				p.arrived[queue] = t.Seq - 1
				break
			}
		}
	}
}

// slots bound how many tasks of each queue a worker executes at a time. A goroutine has a slot while it works through a
// chain of tasks.
type slots struct {
	tokens   map[string]chan struct{} // by queue; one token per used slot
	session  *session
	executor *executor
	claims   *claimer
	plugins  engine.PluginVersions
	log      *slog.Logger
}

// chainBudget is how long a slot goes on with tasks that became ready by the end of the task before them. Then other
// tasks get their turn.
const chainBudget = 250 * time.Millisecond

// releasedPause is how long a task waits that the worker cannot execute after all.
const releasedPause = 5 * time.Second

func (s *slots) anyFree(queue string) bool { return len(s.tokens[queue]) < cap(s.tokens[queue]) }

// start tries a task in a goroutine of its own. It reports false if there is no free slot or no work may begin.
func (s *slots) start(queue string, task uuid.UUID) bool {
	tokens := s.tokens[queue]
	select {
	case tokens <- struct{}{}:
	default:
		return false
	}
	if !s.session.enter() {
		<-tokens
		return false
	}
	go func() { // counted in session.busy, which the worker waits for
		defer s.session.busy.Done()
		defer func() { <-tokens }()
		_ = s.try(task) // it logs the error; the next poll tries again
	}()
	return true
}

// try claims a task and executes it to its end, and then the tasks that it chains. An empty claim is no error.
func (s *slots) try(task uuid.UUID) error {
	t, err := s.claims.claim(task)
	if err != nil {
		s.log.Warn("task could not be claimed and is tried again", "task_id", task, "err", err)
		return err
	}
	if t == nil {
		// Messages may come twice or late, so an empty claim is normal. Operators see by the count how often that is.
		s.claims.telemetry.Duplicate(context.Background())
	}
	// A chain bypasses the queue. Without a budget, tasks on one resource would keep the slot for as long as new ones
	// arrive, and older tasks on other resources would wait.
	until := time.Now().Add(chainBudget)
	chain := func() bool { return time.Now().Before(until) && !s.session.drains() }
	for t != nil {
		if !s.plugins.Fulfil(t.Versions) { // its message did not say what the task needs
			s.release(t)
			return nil
		}
		_, t = s.executor.run(t, nil, chain)
	}
	return nil
}

// release leaves a claimed task to workers with newer plugins.
func (s *slots) release(t *taskdb.Claimed) {
	// Repeated until it succeeds: the task is this worker's in the database, so no other worker would claim it before this
	// one ends.
	_ = retryUntil(s.session.abandon, isNotClaimed, func(err error) {
		s.log.Warn("task of a newer plugin could not be given back; it is tried again", "task_id", t.ID, "err", err)
	}, func() error { return s.claims.release(context.Background(), t, releasedPause) })
}
