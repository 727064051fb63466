package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// labEnv holds the configuration of a process of the laboratory.
const labEnv = "PULP_TASKING_LAB"

// labTTL is how soon a worker of the laboratory counts as dead.
const labTTL = 900 * time.Millisecond

// labConfig says what a process of the laboratory is.
type labConfig struct {
	DB, Redis, Prefix, Dir string
	ID                     string // of the process; names its files
	Name, Kind             string
	Slots                  int
	TTL, Grace             time.Duration

	Fault    string   // the point at which it says "<ID>.fault" and waits for a file "<ID>.on"
	Dispatch *labArgs // dispatched at the start; the ticket is said as "<ID>.ticket"
	Inline   bool     // that, as an immediate task
}

// labArgs are those of a task that any process of the laboratory can execute. It says what it does in files of Dir.
type labArgs struct {
	Dir, Name         string
	Exclusive, Shared []string
	Do                string        // see labBody
	Slow              time.Duration // how long it takes at least
}

func (a labArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Exclusive...), Shared: tasking.Named(a.Shared...)}
}

var labTask = tasking.Define[labArgs]("lab.task")

// labBody notes in the file "log" when it begins and ends. What is between is up to Do: nothing; "wait" until the file
// "<name>.go" is there or the context ends; "tell", which is wait and says as "<name>.outcome" how it ended; "deaf",
// which is wait without the context; "write", which is wait with a transaction every few milliseconds; "transaction",
// which waits within one and says as "<name>.outcome" how it ended; "complete", which completes the task within a
// transaction; "exit" and "goroutine", which end the process.
func labBody(ctx context.Context, env *tasking.Env, a labArgs) error {
	if err := labNote(a.Dir, "begin", a.Name, env.Task.Attempt); err != nil {
		return err
	}
	if err := labDo(ctx, env, a); err != nil {
		return err
	}
	if a.Slow > 0 {
		<-time.After(a.Slow)
	}
	return labNote(a.Dir, "end", a.Name, env.Task.Attempt)
}

func labDo(ctx context.Context, env *tasking.Env, a labArgs) error {
	released := func(ctx context.Context) error { return labAwait(ctx, filepath.Join(a.Dir, a.Name+".go")) }
	switch a.Do {
	case "wait":
		return released(ctx)
	case "tell":
		err := released(ctx)
		return errors.Join(err, labSay(a.Dir, a.Name+".outcome", fmt.Sprint(err)))
	case "deaf":
		return released(context.WithoutCancel(ctx))
	case "write":
		for labAwaitBriefly(ctx, filepath.Join(a.Dir, a.Name+".go")) != nil {
			err := env.DB.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) })
			if err != nil {
				return errors.Join(err, labSay(a.Dir, a.Name+".outcome", err.Error()))
			}
		}
		return nil
	case "transaction":
		err := env.DB.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *models.Tx) error {
			if err := writeBeat(ctx, tx); err != nil {
				return err
			}
			return released(context.WithoutCancel(ctx))
		})
		return errors.Join(err, labSay(a.Dir, a.Name+".outcome", fmt.Sprint(err)))
	case "complete":
		return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.CompleteTx(ctx, tx, "done") })
	case "exit":
		os.Exit(3)
	case "goroutine":
		go func() { panic("of another goroutine") }()
		return released(ctx)
	}
	return nil
}

func labNote(dir, what, name string, attempt int) error {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s %d %d\n", what, name, attempt, os.Getpid()) // one write, so lines do not mix
	return errors.Join(err, f.Close())
}

func labSay(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func labAwait(ctx context.Context, path string) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func labAwaitBriefly(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Millisecond)
	defer cancel()
	return labAwait(ctx, path)
}

// runLab makes this test binary a process of the laboratory.
func runLab() bool {
	text := os.Getenv(labEnv)
	if text == "" {
		return false
	}
	var cfg labConfig
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		err = cfg.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	return true
}

func (cfg *labConfig) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	opts := tasking.QueueOptions{RedisURL: cfg.Redis, Prefix: cfg.Prefix}
	return withChildQueue(ctx, cfg.DB, opts, func(q *tasking.Queue) error {
		if cfg.Fault != "" {
			worker.SetFault(q, func(point string) {
				if point == cfg.Fault && labSay(cfg.Dir, cfg.ID+".fault", point) == nil {
					// What other goroutines do, the heartbeat among them, goes on.
					_ = labAwait(context.Background(), filepath.Join(cfg.Dir, cfg.ID+".on"))
				}
			})
		}
		return cfg.work(ctx, q)
	})
}

func (cfg *labConfig) work(ctx context.Context, q *tasking.Queue) error {
	w, err := worker.New(q, &worker.Options{
		Bindings: []tasking.Binding{labTask.Bind(labBody), stressTask.Bind(stressBody)},
		Slots:    max(cfg.Slots, 0), NoTasks: cfg.Slots < 0, Name: cfg.Name, Kinds: kindsOf(cfg.Kind),
		WorkDir: filepath.Join(cfg.Dir, "work"), TTL: cfg.TTL, Grace: cfg.Grace,
	})
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	if cfg.Dispatch != nil {
		if err := cfg.dispatch(ctx, q); err != nil {
			return err
		}
	}
	return <-ran
}

// dispatch dispatches until the process's worker is up, if the task is to be executed inline.
func (cfg *labConfig) dispatch(ctx context.Context, q *tasking.Queue) error {
	for cfg.Inline {
		workers, err := inspect.Workers(ctx, q.DB())
		if err != nil {
			return err
		}
		if len(workers) > 0 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	o := &tasking.DispatchOptions{}
	if cfg.Inline {
		o.Mode = tasking.PreferImmediate
	}
	ticket, err := labTask.Dispatch(ctx, q, *cfg.Dispatch, o)
	if err != nil {
		return err
	}
	return labSay(cfg.Dir, cfg.ID+".ticket", ticket.TaskID.String())
}

// lab is a bench with processes that it can kill.
type lab struct {
	*bench
	dir, dbURL, redisURL, prefix string
}

func newLab(t testing.TB, dbURL, redisURL string) *lab {
	t.Helper()
	l := &lab{bench: setup(t, dbURL, ""), dir: t.TempDir(), dbURL: dbURL, redisURL: redisURL, prefix: uuid.NewString()}
	l.q = l.open()
	return l
}

// open returns one more queue on the same Redis, as another process would have it.
func (l *lab) open() *tasking.Queue {
	l.t.Helper()
	return l.queueWith(tasking.QueueOptions{RedisURL: l.redisURL, Prefix: l.prefix})
}

// work starts a worker of this process that knows the laboratory's task.
func (l *lab) work(opts worker.Options) (stop func()) {
	l.t.Helper()
	if opts.TTL == 0 {
		opts.TTL = labTTL
	}
	opts.Bindings = append(opts.Bindings, labTask.Bind(labBody), stressTask.Bind(stressBody))
	return l.bench.run(opts)
}

func (l *lab) send(a labArgs, opts ...*tasking.DispatchOptions) uuid.UUID {
	l.t.Helper()
	a.Dir = l.dir
	ticket, err := labTask.Dispatch(l.t.Context(), l.q, a, atMostOne(opts))
	if err != nil {
		l.t.Fatalf("Dispatch(%s) = %v", a.Name, err)
	}
	return ticket.TaskID
}

// let ends the waiting of a task.
func (l *lab) let(name string) {
	l.t.Helper()
	if err := labSay(l.dir, name+".go", ""); err != nil {
		l.t.Fatal(err)
	}
}

// lines returns how often a task has begun or ended, in whatever process.
func (l *lab) lines(what, name string) int {
	text, _ := os.ReadFile(filepath.Join(l.dir, "log"))
	return strings.Count("\n"+string(text), fmt.Sprintf("\n%s %s ", what, name))
}

func (l *lab) begun(name string) {
	l.t.Helper()
	eventually(l.t, "the begin of "+name, func() bool { return l.lines("begin", name) > 0 })
}

// ran fails unless the task has begun exactly so often.
func (l *lab) ran(name string, want int) {
	l.t.Helper()
	if n := l.lines("begin", name); n != want {
		l.t.Errorf("task %s began %d times, want %d", name, n, want)
	}
}

// says waits for a word of a process.
func (l *lab) says(name string) string {
	l.t.Helper()
	var text []byte
	eventually(l.t, "the word "+name, func() bool {
		var err error
		text, err = os.ReadFile(filepath.Join(l.dir, name))
		return err == nil
	})
	return string(text)
}

// process is one of a laboratory.
type process struct {
	lab   *lab
	id    string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	words tail
}

// start starts a worker process. What cfg leaves out is the laboratory's.
func (l *lab) start(cfg labConfig) *process {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	if cfg.ID == "" {
		cfg.ID = uuid.NewString()
	}
	if cfg.DB == "" {
		cfg.DB = l.dbURL
	}
	if cfg.Redis == "" {
		cfg.Redis = l.redisURL
	}
	if cfg.TTL == 0 {
		cfg.TTL = labTTL
	}
	if cfg.Dispatch != nil {
		cfg.Dispatch.Dir = l.dir
	}
	cfg.Dir, cfg.Prefix = l.dir, l.prefix
	text, err := json.Marshal(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	p := &process{lab: l, id: cfg.ID, cmd: exec.Command(self), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), labEnv+"="+string(text))
	p.cmd.Stderr = &p.words
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() { // ends with the process, which is killed when the test ends
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	l.t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.words.String(), "reservations were repaired") {
			l.t.Errorf("the sweep of process %s found something to repair", p.id)
		}
		if l.t.Failed() {
			l.t.Logf("process %s: %s", p.id, p.words.String())
		}
	})
	return p
}

// startAt starts a process that stops at a fault point, and waits until it is there.
func (l *lab) startAt(point string) *process {
	l.t.Helper()
	p := l.start(labConfig{Fault: point})
	l.says(p.id + ".fault")
	return p
}

// kill ends the process as kill -9 does and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	p.lab.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.lab.t.Fatal(err)
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

const tailSize = 16 << 10

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = append(w.end, p...)
	if len(w.end) > 2*tailSize {
		w.end = append([]byte(nil), w.end[len(w.end)-tailSize:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.end)
}

// kindsOf returns the roles of a process; "" is the default.
func kindsOf(kind string) []string {
	if kind == "" {
		return nil
	}
	return []string{kind}
}
