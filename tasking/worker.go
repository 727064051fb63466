package tasking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/internal/batch"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Kinds of processes.
const (
	KindWorker  = "worker"
	KindAPI     = "api"
	KindContent = "content"
)

// WorkerOptions are the parts of a [Worker] that have defaults.
type WorkerOptions struct {
	Bindings []Binding // the tasks that can be executed

	// Slots is how many tasks run at a time; two more are for immediate ones. Default 4. A negative number takes no
	// tasks from the queue: for a process that only dispatches, cancels, waits and executes its own immediate tasks.
	Slots int

	Name     string            // default "<pid>@<host>"; need not be unique
	Kind     string            // KindWorker, KindAPI or KindContent; default KindWorker
	Versions map[string]string // of the plugins, by name
	Store    *storage.Store
	// WorkDir is the absolute path of the directory below which each task gets its own. Default: none; tasks that ask for
	// a directory fail then.
	WorkDir     string
	Downloads   *download.Pool // clients of remotes, shared in the process; default: one per run
	ImportPaths []string       // absolute directories that file URLs of remotes may point below

	// Burst makes Run end once there is nothing ready that this worker can execute and nothing is running, for hosts that
	// start workers on demand. Tasks that wait for another attempt are left to a later one.
	Burst bool

	// TTL is how long a worker may be silent until its tasks are failed as those of a dead one. Default 30 s.
	TTL time.Duration
	// Grace is how long running tasks are waited for when Run's context is done. Default 0: without limit.
	Grace time.Duration
	// CancelGrace is how long a task may go on after it was told to stop until it counts as stuck: see OnStuck. A task
	// with a process of its own is killed then. Default 30 s.
	CancelGrace time.Duration
	// OnStuck is told once of each task in this process whose function does not return, with the stacks of its
	// goroutines. Its reservations stay until it returns or the process ends, so a host may end the process here: other
	// workers then end the task. Default: the log tells of it, with the stacks, and the task's error.
	OnStuck func(task *models.Task, dump string)
	// ProgressInterval is how often a progress report is written at most. Default 1 s.
	ProgressInterval time.Duration
	// Tracebacks puts the stack of a task that panicked, or of one that does not stop, into its error, where clients see
	// it. Default: only the log.
	Tracebacks bool

	// Command returns a command, not started, that calls [Worker.RunIsolated] of a worker with the same bindings on the
	// same database: usually the program itself with another argument. It executes the tasks that have a process of
	// their own, see [BindingOptions]. Input, output and the first of the additional files are replaced, TMPDIR is set.
	Command func() *osexec.Cmd
	// IgnoreSubprocess executes all tasks in this process. It is meant for tests.
	IgnoreSubprocess bool

	// Discard removes a resource that a task left incomplete, given its PRN; NotFound counts as success. db is bound to
	// the task's domain. Default: it stays.
	Discard func(ctx context.Context, db *models.DB, prn string) error

	Log *slog.Logger // default: the queue's
}

// Causes of the end of a task's context, for errors.Is with its [context.Cause].
var (
	// ErrCanceled says that a user canceled the task.
	ErrCanceled = fmt.Errorf("tasking: the task was canceled: %w", pulperr.Canceled)
	// ErrShutdown says that the worker ends and its grace period is over.
	ErrShutdown = fmt.Errorf("tasking: the worker shuts down: %w", pulperr.Unavailable)
	// ErrLost says that the task is not the worker's any more, or may not be because the worker could not prove that it
	// is alive. Transactions that a task makes with [Env].DB fail with it too, once the task is not its worker's, and
	// after [Env.CompleteTx].
	ErrLost = fmt.Errorf("tasking: the worker lost its claim on the task: %w", pulperr.Unavailable)
	// ErrTimeout says that the task took longer than its binding allows, or than the 5 s of an immediate one.
	ErrTimeout = fmt.Errorf("tasking: the task took too long: %w", pulperr.Unavailable)

	// errFenced is ErrLost where it is certain: the task was taken away, and no end of it can be stored.
	errFenced = fmt.Errorf("tasking: the task was taken from this worker: %w", ErrLost)
	// errTimeout is ErrTimeout of an immediate task, in the words that clients read.
	errTimeout = fmt.Errorf("%w: %w", ErrTimeout, pulperr.Coded("PLP0024", pulperr.Unavailable,
		"The immediate task timed out after %d seconds.", int(immediateTimeout.Seconds())))
)

// Worker executes tasks. One process may have several.
type Worker struct {
	q          *Queue
	opts       WorkerOptions
	log        *slog.Logger
	bindings   map[string]Binding
	slots      map[string]chan struct{} // by queue; one token per running task
	inline     chan struct{}            // one token per immediate task executed in a dispatching call
	claims     *batch.Writer[uuid.UUID, claimOutcome]
	finishes   *batch.Writer[*finishing, finished]
	late       lateClaims
	leftOverTo map[string]int64 // by queue, the place of the last ready task that was looked at; the polling's alone
	counted    time.Time        // when the backlog was counted last; the relay's alone
	sweptTo    int64            // the place of the last blocked task that the sweep looked at; the relay's alone
	sweptKey   *taskdb.Held     // the last reservation that it looked at; nil is before the first

	mu       sync.Mutex
	life     *life                    // nil unless running
	runs     map[uuid.UUID]*execution // by task
	reaping  map[uuid.UUID]bool       // tasks of dead workers that this one is ending
	patience time.Duration            // with strangers
	lastBeat time.Time                // of the last heartbeat that succeeded
}

// life is one Run of a worker.
type life struct {
	id       uuid.UUID // of its row; a new one after it was given up for dead; guarded by Worker.mu
	quiet    bool      // of RunPending: it does not keep house
	unhook   func()    // listens to cancellations no more
	pool     *download.Pool
	draining bool // guarded by Worker.mu: nothing new begins
	drain    chan struct{}
	abandon  chan struct{}  // closed when waiting for tasks is over
	busy     sync.WaitGroup // executions
	watch    watch          // the reaper's alone
	burials  burials
}

const (
	defaultSlots    = 4
	immediateSlots  = 2
	inlineSlots     = 4
	defaultTTL      = 30 * time.Second
	defaultProgress = time.Second

	defaultCancelGrace = 30 * time.Second

	immediateTimeout = 5 * time.Second
)

// NewWorker returns a worker that takes tasks from q. It starts nothing; see [Worker.Run].
//
// Errors: Invalid for two bindings of one name, a name that is not "<plugin>.<task>" in lower case, a relative
// WorkDir, or a task that needs a process of its own without [WorkerOptions].Command, all of them joined.
func NewWorker(q *Queue, opts *WorkerOptions) (*Worker, error) {
	w := &Worker{
		q: q, bindings: map[string]Binding{}, runs: map[uuid.UUID]*execution{}, reaping: map[uuid.UUID]bool{},
		leftOverTo: map[string]int64{},
		patience:   strangerPatience,
	}
	if opts != nil {
		w.opts = *opts
	}
	w.setDefaults()
	if err := errors.Join(CheckBindings(&w.opts)...); err != nil {
		return nil, fmt.Errorf("tasking: %w: %w", pulperr.Invalid, err)
	}
	for _, b := range w.opts.Bindings {
		w.bindings[b.name] = b
	}
	w.slots = map[string]chan struct{}{
		defaultQueue:   make(chan struct{}, max(w.opts.Slots, 0)),
		immediateQueue: make(chan struct{}, immediateSlots),
	}
	w.inline = make(chan struct{}, inlineSlots)
	w.claims, w.finishes = newClaims(w), newFinishes(w)
	return w, nil
}

func (w *Worker) setDefaults() {
	o := &w.opts
	host, _ := os.Hostname()
	setDefault(&o.Slots, defaultSlots)
	setDefault(&o.Name, fmt.Sprintf("%d@%s", os.Getpid(), host))
	setDefault(&o.Kind, KindWorker)
	setDefault(&o.TTL, defaultTTL)
	setDefault(&o.ProgressInterval, defaultProgress)
	setDefault(&o.CancelGrace, defaultCancelGrace)
	setDefault(&o.Log, w.q.log)
	w.log = o.Log
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// id returns the key of the worker's row, or uuid.Nil while it does not run.
func (w *Worker) id() uuid.UUID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.life == nil {
		return uuid.Nil
	}
	return w.life.id
}

// enter registers the beginning of a piece of work, or returns nil if nothing may begin any more.
func (w *Worker) enter() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.life
	if l == nil || l.draining || w.silent() > w.opts.TTL*2/3 {
		return nil
	}
	l.busy.Add(1)
	return l
}

// installation is the name of the installation.
func (w *Worker) installation() string {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.q.installation
}

// downloads returns the pool of clients of remotes.
func (w *Worker) downloads() *download.Pool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life.pool
}

// silent returns how long there has been no heartbeat. The caller holds w.mu.
func (w *Worker) silent() time.Duration { return time.Since(w.lastBeat) }
