package tasking

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// Run registers the worker, executes tasks until ctx is done and returns nil when the running ones have ended. It also
// keeps house, as every worker does: it delivers again what Redis lost and fails what dead workers left.
//
// When ctx is done nothing new begins. After [WorkerOptions].Grace, if there is one, running tasks are told to stop
// with [ErrShutdown]; those that do not within 10 s are left to the other workers, and Run returns an error.
//
// With [WorkerOptions].Burst it also ends when no task is left that it could execute.
//
// Errors: Unavailable if the database does not answer at the start; Conflict if the worker runs already.
func (w *Worker) Run(ctx context.Context) error {
	l, err := w.begins(ctx, false)
	if err != nil && ctx.Err() != nil {
		return nil // it was over before it began
	}
	if err != nil {
		return err
	}
	defer w.ends(l)
	hold := context.WithoutCancel(ctx) // of what must go on while tasks are waited for
	house, stop := context.WithCancel(hold)
	var keepers sync.WaitGroup
	defer keepers.Wait()
	defer stop()
	for _, keep := range []func(context.Context, *life){
		w.keepBeating, w.keepReaping, w.keepRelaying, w.keepScheduling,
	} {
		keepers.Go(func() { keep(house, l) })
	}
	if w.q.listener != nil {
		keepers.Go(func() { w.q.listener.run(house) })
	}
	messages := w.consume(w.q.transport, l)
	if w.opts.Slots > 0 && w.q.retainer != nil {
		keepers.Go(func() { w.keepPolling(house, l) })
	}
	w.awaitEnd(ctx)
	w.startDrain(l)
	messages.stop()
	err = w.awaitTasks(l)
	messages.close()
	return err
}

// burstInterval is how often a worker with [WorkerOptions].Burst checks whether all tasks have ended.
const burstInterval = 250 * time.Millisecond

// awaitEnd waits until nothing new shall begin.
func (w *Worker) awaitEnd(ctx context.Context) {
	if !w.opts.Burst {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(burstInterval)
	defer ticker.Stop()
	for quiet := 0; quiet < 2; { // twice, because between the two looks of one a task may have become ready
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		idle, err := w.idle(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			w.log.WarnContext(ctx, "ready tasks cannot be read", "err", err)
		case idle:
			quiet++
		default:
			quiet = 0
		}
	}
}

// idle reports whether the worker executes nothing and there is nothing that it could.
func (w *Worker) idle(ctx context.Context) (bool, error) {
	w.mu.Lock()
	running := len(w.runs)
	w.mu.Unlock()
	if running > 0 {
		return false, nil
	}
	for _, err := range w.claimable(ctx) {
		return false, err
	}
	return true, nil
}

// begins registers the worker's row and makes its directory.
func (w *Worker) begins(ctx context.Context, quiet bool) (*life, error) {
	l := &life{
		quiet: quiet, drain: make(chan struct{}), abandon: make(chan struct{}),
		watch: newWatch(), burials: newBurials(), pool: w.opts.Downloads,
	}
	if l.pool == nil {
		l.pool = download.NewPool(0)
	}
	if err := w.q.identify(ctx); err != nil {
		return nil, kindOr(err, pulperr.Unavailable)
	}
	w.mu.Lock()
	if w.life != nil {
		w.mu.Unlock()
		return nil, fmt.Errorf("tasking: worker %q runs already: %w", w.opts.Name, pulperr.Conflict)
	}
	w.life = l
	w.mu.Unlock()
	if err := w.register(ctx, l); err != nil {
		w.mu.Lock()
		w.life = nil
		w.mu.Unlock()
		return nil, kindOr(err, pulperr.Unavailable)
	}
	if w.opts.Kind != KindContent {
		w.q.offerInline(w)
	}
	l.unhook = w.q.hub.onCancel(func(id uuid.UUID) { w.cancelRun(id, ErrCanceled) })
	if quiet {
		return l, nil
	}
	if err := w.sweepDirs(ctx); err != nil {
		w.log.WarnContext(ctx, "work directories of dead workers stay", "err", err)
	}
	w.log.InfoContext(ctx, "worker has started", "worker_id", l.id, "name", w.opts.Name, "slots", w.opts.Slots)
	return l, nil
}

// register inserts a row under a new id, which the worker has from then on.
func (w *Worker) register(ctx context.Context, l *life) error {
	host, _ := os.Hostname()
	now := models.Now()
	row := &models.Worker{
		Name: w.opts.Name, Kind: w.opts.Kind, Host: host, PID: os.Getpid(), Versions: w.opts.Versions,
		TTL: int(w.opts.TTL.Milliseconds()), LastHeartbeat: now,
	}
	if row.Versions == nil {
		row.Versions = map[string]string{}
	}
	row.ID, row.Created, row.Updated = models.NewID(), now, now
	err := w.q.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(row).Exec(ctx)
		return err
	})
	if err != nil {
		return taskdb.Wrap(err, "register worker %q", w.opts.Name)
	}
	w.q.replaceAlive(w.id(), row.ID)
	w.mu.Lock()
	l.id, w.lastBeat = row.ID, time.Now()
	w.mu.Unlock()
	return nil
}

// replaceAlive notes the id of a worker of this process and forgets the one that it had before; uuid.Nil is none.
func (c *core) replaceAlive(old, id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alive, old)
	if id != uuid.Nil {
		c.alive[id] = true
	}
}

// startDrain lets nothing new begin.
func (w *Worker) startDrain(l *life) {
	w.q.withdrawInline(w)
	w.mu.Lock()
	l.draining = true
	w.mu.Unlock()
	close(l.drain)
}

const lastGrace = 10 * time.Second

// awaitTasks waits for the running tasks, as long as the worker's options allow.
func (w *Worker) awaitTasks(l *life) error {
	idle := make(chan struct{})
	go func() { // ends with the last task, or with the process
		l.busy.Wait()
		close(idle)
	}()
	if w.opts.Grace <= 0 {
		<-idle
		return nil
	}
	timer := time.NewTimer(w.opts.Grace)
	defer timer.Stop()
	select {
	case <-idle:
		return nil
	case <-timer.C:
	}
	w.stopAll(ErrShutdown)
	timer.Reset(lastGrace)
	select {
	case <-idle:
		return nil
	case <-timer.C:
	}
	close(l.abandon)
	<-idle
	return fmt.Errorf("tasking: tasks do not end: %w", pulperr.Unavailable)
}

// stopAll ends the contexts of all running tasks.
func (w *Worker) stopAll(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.runs {
		x.cancel(cause)
	}
}

// ends takes the worker's traces away. A row that still owns tasks stays, for the others to find.
func (w *Worker) ends(l *life) {
	l.unhook()
	w.q.replaceAlive(w.id(), uuid.Nil)
	if w.opts.Downloads == nil {
		_ = l.pool.Close() // returns nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastGrace)
	defer cancel()
	w.mu.Lock()
	left := len(w.runs)
	w.life = nil
	w.mu.Unlock()
	if left > 0 {
		return
	}
	_, err := taskdb.ExecTx(ctx, w.q.db, `DELETE FROM core_worker WHERE pulp_id = ? AND NOT EXISTS (SELECT 1 FROM core_task
		WHERE worker_id = ? AND state IN ('running', 'canceling'))`, l.id, l.id)
	if err = errors.Join(err, w.removeDir(l.id)); err != nil {
		w.log.WarnContext(ctx, "worker leaves traces", "worker_id", l.id, "err", err)
	}
	if !l.quiet {
		w.log.InfoContext(ctx, "worker has ended", "worker_id", l.id)
	}
}

// leaveToOthers puts the message about a task back that this worker is too old for, as long as the task waits.
func (w *Worker) leaveToOthers(id uuid.UUID) *transport.Later {
	var waiting []int
	err := w.q.db.Bun().NewRaw("SELECT 1 FROM core_task WHERE pulp_id = ? AND (state = 'waiting') IS TRUE", id).
		Scan(context.Background(), &waiting)
	if err == nil && len(waiting) == 0 {
		return nil
	}
	// Spread, so that the messages come to other workers too.
	return &transport.Later{Pause: leavePause + rand.N(leavePause/3), Reason: "the worker's plugins are too old"}
}

// chainBudget is how long a slot goes from one task straight to the next one that waited for it, until others get their
// turn.
const chainBudget = 250 * time.Millisecond

// tryTask claims a task and executes it to its end, and then those that it had in its way. It is no error if there is
// nothing to claim.
func (w *Worker) tryTask(l *life, id uuid.UUID) *transport.Later {
	c, err := w.claim(l, id)
	if err != nil {
		w.log.Warn("task is tried later", "task_id", id, "err", err)
		return &transport.Later{Pause: putBackPause, Reason: "the database does not answer"}
	}
	if c == nil {
		w.q.tel.duplicate(context.Background())
	}
	until := time.Now().Add(chainBudget)
	continues := func() bool { return time.Now().Before(until) && !w.drains(l) }
	for c != nil {
		if !w.fulfils(c.Versions) { // a message that did not say what the task needs
			w.giveBack(l, c)
			return nil
		}
		_, c = w.run(l, c, nil, continues)
	}
	return nil
}

// giveBack leaves a claimed task to workers with newer plugins.
func (w *Worker) giveBack(l *life, c *claimed) {
	fenced := func(err error) bool { return errors.Is(err, errFenced) }
	_ = patient(l.abandon, fenced, func(err error) {
		w.logOf(c).Warn("task of a newer plugin is given back later", "err", err)
	}, func() error { return w.q.unclaim(context.Background(), c, incompatiblePause) })
}

// drains reports whether nothing new may begin.
func (w *Worker) drains(l *life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.draining
}
