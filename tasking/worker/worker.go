// Package worker executes tasks of package tasking.
//
// A host makes a [Worker] with [New], gives it the bindings of all tasks, and calls [Worker.Run] until the program
// ends. Tests call [Worker.RunPending]. "Errors: NotFound" in a comment means that errors.Is(err, pulperr.NotFound)
// holds for the returned error.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

// Kinds of processes.
const (
	KindWorker  = "worker"
	KindAPI     = "api"
	KindContent = "content"
)

// Options are the parts of a [Worker] that have defaults.
type Options struct {
	Bindings []tasking.Binding // the tasks that can be executed

	// Slots is how many tasks run at a time; two more are for immediate ones. Default 4.
	Slots int
	// NoTasks takes no tasks from the queue: for a process that only dispatches, cancels and waits, and executes its own
	// immediate tasks.
	NoTasks bool

	Name string // default "<pid>@<host>"; need not be unique
	// Kinds are the roles of the process: KindWorker, KindAPI, KindContent. Each is shown as a worker of its own; the
	// first one owns the tasks. Default: KindWorker.
	Kinds    []string
	Versions map[string]string // of the plugins, by name
	Store    *storage.Store
	// WorkDir is the absolute path of the directory below which each task gets its own. Default: none; tasks that ask for
	// a directory fail then.
	WorkDir     string
	Downloads   *download.Pool // clients of remotes, shared in the process; default: one per run
	ImportPaths []string       // absolute directories that file URLs of remotes may point below

	// Burst makes Run end once no task is running and none is ready that this worker can execute. It is for hosts that
	// start workers on demand. Tasks that wait for another attempt are left to a later worker.
	Burst bool

	// TTL is how long a worker may go without a heartbeat until other workers declare it dead and fail its tasks. Default
	// 30 s.
	TTL time.Duration
	// Grace is how long Run waits for running tasks after its context is done. Default 0: without limit.
	Grace time.Duration
	// CancelGrace is how long a function may go on after its context has ended, until the task counts as stuck: see
	// OnStuck. If the task has a process of its own, the process is killed then. Default 30 s.
	CancelGrace time.Duration
	// OnStuck is called once for each stuck task of this process, with the stacks of its goroutines. The task keeps its
	// reservations until its function returns or the process ends, so a host may end the process here: other workers then
	// end the task. Default: the log has the stacks, and the task's error has a note.
	OnStuck func(task *models.Task, dump string)
	// ProgressInterval is how often a progress report is written at most. Default 1 s.
	ProgressInterval time.Duration
	// Tracebacks puts the stack of a task that panicked or is stuck into its error, where clients see it. Default: stacks
	// are only in the log.
	Tracebacks bool

	// Command returns a command, not started, that calls [Worker.RunIsolated] of a worker with the same bindings on the
	// same database: usually the program itself with another argument. It executes the tasks that have a process of their
	// own, see [tasking.BindingOptions]. Input, output and the first of the additional files are replaced, TMPDIR is set.
	Command func() *osexec.Cmd
	// IgnoreSubprocess executes all tasks in this process. It is meant for tests.
	IgnoreSubprocess bool

	// Discard removes a resource that a task left incomplete, given its PRN; NotFound counts as success. db is bound to
	// the task's domain. Default: it stays.
	Discard func(ctx context.Context, db *models.DB, prn string) error

	Log *slog.Logger // default: the queue's
}

// Worker executes tasks. One process may have several.
type Worker struct {
	q        *engine.Core
	queue    *tasking.Queue // that q belongs to
	opts     Options
	bindings *bindings
	attempts *attempts
	slots    map[string]chan struct{} // by queue; one token per running task
	inline   chan struct{}            // one token per immediate task executed in a dispatching call
	// unattended is how long the database may show a task as this worker's that it does not execute.
	unattended time.Duration

	mu      sync.Mutex
	running bool
}

const (
	defaultSlots       = 4
	immediateSlots     = 2
	inlineSlots        = 4
	defaultTTL         = 30 * time.Second
	defaultProgress    = time.Second
	defaultCancelGrace = 30 * time.Second
)

// New returns a worker that takes tasks from q. It starts no goroutine and uses no connection: see [Worker.Run].
//
// Errors: Invalid for two bindings of one name, a name that is not "<plugin>.<task>" in lower case, a relative
// WorkDir, or a task that needs a process of its own without [Options].Command, all of them joined.
func New(q *tasking.Queue, opts *Options) (*Worker, error) {
	w := &Worker{q: q.Core(), queue: q, attempts: newAttempts(), unattended: unattendedTimeout}
	if opts != nil {
		w.opts = *opts
	}
	w.opts.setDefaults(w.q.Log)
	if err := errors.Join(CheckBindings(&w.opts)...); err != nil {
		return nil, fmt.Errorf("tasking: %w: %w", pulperr.Invalid, err)
	}
	w.bindings = newBindings(&w.opts)
	slots := w.opts.Slots
	if w.opts.NoTasks {
		slots = 0
	}
	w.slots = map[string]chan struct{}{
		engine.DefaultQueue:   make(chan struct{}, slots),
		engine.ImmediateQueue: make(chan struct{}, immediateSlots),
	}
	w.inline = make(chan struct{}, inlineSlots)
	return w, nil
}

func (o *Options) setDefaults(log *slog.Logger) {
	// An error leaves the host empty: the name is shown to people and identifies no worker.
	host, _ := os.Hostname()
	setDefault(&o.Slots, defaultSlots)
	setDefault(&o.Name, fmt.Sprintf("%d@%s", os.Getpid(), host))
	if len(o.Kinds) == 0 {
		o.Kinds = []string{KindWorker}
	}
	setDefault(&o.TTL, defaultTTL)
	setDefault(&o.ProgressInterval, defaultProgress)
	setDefault(&o.CancelGrace, defaultCancelGrace)
	setDefault(&o.Log, log)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// parts are what a worker consists of while it runs.
type parts struct {
	session     *session
	downloads   *download.Pool
	environment *attempt.Environment
	claims      *claimer
	completer   *completer
	executor    *executor
	slots       *slots
	immediate   *immediate
	receiver    *receiver
	poller      *poller
	heartbeater *heartbeater
	reaper      *reaper
	maintainer  *maintainer
}

// parts makes the parts for one run and starts none of them.
func (w *Worker) parts() *parts {
	q, o := w.q, &w.opts
	p := &parts{session: newSession(q, o), downloads: o.Downloads}
	if p.downloads == nil {
		p.downloads = download.NewPool(0)
	}
	p.environment = &attempt.Environment{
		Core: q, Logger: o.Log, Store: o.Store, Downloads: p.downloads, ImportPaths: o.ImportPaths,
		Dirs:             &attempt.WorkDirs{DB: q.DB, Root: o.WorkDir, Installation: q.Installation.Name},
		ProgressInterval: o.ProgressInterval,
	}
	p.claims = newClaimer(q, p.session, o.Log)
	p.completer = newCompleter(q, p.session, p.claims, o)
	p.environment.Complete = p.completer.completeTx
	p.executor = &executor{
		q: q, session: p.session, attempts: w.attempts, environment: p.environment, completer: p.completer,
		bindings: w.bindings, opts: o, log: o.Log,
	}
	p.slots = &slots{
		tokens: w.slots, session: p.session, executor: p.executor, claims: p.claims, plugins: o.Versions, log: o.Log,
	}
	p.immediate = &immediate{core: q, session: p.session, executor: p.executor, slots: w.inline}
	p.receiver = &receiver{db: q.DB, session: p.session, slots: p.slots, plugins: o.Versions, failpoint: q.At}
	// The poller starts and stops consumers while the transport's consumers go on, so it has a receiver of its own.
	p.poller = &poller{
		db: q.DB, transport: q.Transport, database: q.Database, receiver: p.receiver.fresh(), slots: p.slots,
		drain: p.session.drain, log: o.Log, arrived: map[string]int64{},
	}
	// The heartbeat has a connection beside the pool: tasks that use the whole pool would delay it until other workers
	// declare this one dead (F44).
	p.heartbeater = &heartbeater{session: p.session, attempts: w.attempts, conn: newOwnConn(q.DB), log: o.Log}
	p.reaper = &reaper{
		db: q.DB, session: p.session, attempts: w.attempts, claims: p.claims, telemetry: q.Telemetry, log: o.Log,
		recoverer:  newRecoverer(q, p.session, w.attempts, p.environment, p.completer, o.Log),
		unattended: w.unattended,
	}
	p.maintainer = &maintainer{
		q: q, session: p.session, sweeper: &sweeper{q: q, log: o.Log}, schedules: schedule.NewDispatcher(w.queue), log: o.Log,
	}
	// Only a transport that keeps messages outside the process can lose them.
	if q.Retainer != nil {
		p.maintainer.relay = &relay{q: q, redis: q.Retainer, takeTime: o.TTL / 3, log: o.Log}
	}
	return p
}

// begin registers the worker and offers to execute immediate tasks. end is called at the end of the run.
//
// Errors: Unavailable; Conflict if the worker runs already.
func (w *Worker) begin(ctx context.Context) (p *parts, end func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return nil, nil, fmt.Errorf("tasking: worker %q runs already: %w", w.opts.Name, pulperr.Conflict)
	}
	// Work directories are named after the installation. Without the name the first sweep could not tell them from those
	// of other installations.
	if err := w.q.Installation.Read(ctx, w.q.DB); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", pulperr.Unavailable, err)
	}
	p = w.parts()
	if err := p.session.register(ctx, nil); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", pulperr.Unavailable, err)
	}
	w.running = true
	if slices.ContainsFunc(w.opts.Kinds, func(kind string) bool { return kind != KindContent }) {
		w.q.Immediates.Add(p.immediate)
	}
	// The broadcast ends the attempt at once. If it is lost, the heartbeater finds the cancellation in the database (F23).
	unhook := w.q.OnCancel(func(id uuid.UUID) { w.attempts.cancel(id, engine.ErrCanceled) })
	return p, func() {
		unhook()
		w.end(p)
	}, nil
}

// end removes the rows and the work directory of a run, unless tasks go on.
func (w *Worker) end(p *parts) {
	if w.opts.Downloads == nil {
		_ = p.downloads.Close() // returns nil
	}
	w.mu.Lock()
	w.running = false
	w.mu.Unlock()
	// A function that has not returned may still write. The row stays, so that other workers declare this one dead after
	// the end of the process and then end the task.
	if w.attempts.count() > 0 {
		return
	}
	// Run's context is usually done by now. A row that stays would look like a dead worker for a whole TTL.
	ctx, cancel := context.WithTimeout(context.Background(), engine.ShutdownGrace)
	defer cancel()
	id := p.session.workerID()
	if err := errors.Join(p.session.close(ctx), p.environment.Dirs.Remove(id)); err != nil {
		w.opts.Log.WarnContext(ctx, "rows or work directory of the ended worker could not be removed",
			"worker_id", id, "err", err)
	}
}

// isNotClaimed reports whether the task is certain to be another attempt's.
func isNotClaimed(err error) bool { return errors.Is(err, taskdb.ErrNotClaimed) }

// bindings are the functions of a worker by the names of their tasks.
type bindings struct {
	byName           map[string]attempt.Function
	ignoreSubprocess bool
}

func newBindings(o *Options) *bindings {
	b := &bindings{byName: map[string]attempt.Function{}, ignoreSubprocess: o.IgnoreSubprocess}
	for _, binding := range o.Bindings {
		b.byName[binding.Name()] = binding.Function()
	}
	return b
}

// of returns the function of a task; its Run is nil if there is none.
func (b *bindings) of(task string) attempt.Function { return b.byName[task] }

// isolates reports whether a task has a process of its own.
func (b *bindings) isolates(task string) bool {
	return b.of(task).Subprocess && !b.ignoreSubprocess
}
