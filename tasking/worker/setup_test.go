package worker_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestMain(m *testing.M) {
	if runChild() || runLab() {
		return
	}
	flag.Parse()
	if err := leaveTimeForStress(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// leaveTimeForStress raises the time limit of go test above what -stress asks for: with -stress 10m nobody shall have
// to know that the limit is 10 minutes. The go command itself waits a minute longer.
func leaveTimeForStress() error {
	limit := flag.Lookup("test.timeout").Value
	need := *stressFor + 55*time.Second
	if set, err := time.ParseDuration(limit.String()); err != nil || set == 0 || set >= need {
		return err
	}
	return limit.Set(need.String())
}

type noArgs struct{}

// blockArgs are those of a task that says when it begins and ends when it is told.
type blockArgs struct {
	Name      string
	Exclusive []string
	Shared    []string
}

func (a blockArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Exclusive...), Shared: tasking.Named(a.Shared...)}
}

// bench is everything a test needs.
type bench struct {
	t     testing.TB
	db    *models.DB
	q     *tasking.Queue
	block *tasking.Task[blockArgs]

	redisURL string // of q; "" is none: within one process

	mu      sync.Mutex
	began   map[string]chan struct{}
	release map[string]chan error
	order   []string
	quit    chan struct{} // closed when the test is over, however it went
}

var block = tasking.Define[blockArgs]("test.block")

func setup(t testing.TB, dbURL, redisURL string) *bench {
	t.Helper()
	b := &bench{
		t: t, db: modelstest.Open(t, dbURL, nil), block: block, began: map[string]chan struct{}{}, release: map[string]chan error{},
		quit: make(chan struct{}), redisURL: redisURL,
	}
	b.q = b.queue(redisURL)
	if _, ok := t.(*testing.T); ok { // benchmarks pile up what no worker has
		t.Cleanup(b.noViolations)
	}
	return b
}

func (b *bench) queue(redisURL string) *tasking.Queue {
	b.t.Helper()
	return b.queueWith(tasking.QueueOptions{RedisURL: redisURL})
}

func (b *bench) queueWith(opts tasking.QueueOptions) *tasking.Queue {
	b.t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = uuid.NewString()
	}
	if opts.Log == nil {
		opts.Log = testLog(b.t)
	}
	q, err := tasking.NewQueue(b.db, &opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = q.Close() })
	return q
}

// run starts a worker that ends before the database is closed.
func (b *bench) run(opts worker.Options) (stop func()) {
	b.t.Helper()
	w := b.worker(opts)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run() = %v, want nil", err)
		}
	})
	b.t.Cleanup(func() {
		b.over()
		stop()
	})
	return stop
}

func (b *bench) worker(opts worker.Options) *worker.Worker {
	b.t.Helper()
	opts.Bindings = append(opts.Bindings, b.block.Bind(b.body))
	if opts.WorkDir == "" {
		opts.WorkDir = b.t.TempDir()
	}
	w, err := worker.New(b.q, &opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b *bench) body(ctx context.Context, _ *tasking.Env, a blockArgs) error {
	b.mu.Lock()
	b.order = append(b.order, a.Name)
	b.mu.Unlock()
	close(b.chanOf(a.Name))
	select {
	case err := <-b.releaseOf(a.Name):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-b.quit:
		return errors.New("the test is over")
	}
}

// over ends the tasks that a failed test left running.
func (b *bench) over() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.quit:
	default:
		close(b.quit)
	}
}

func (b *bench) chanOf(name string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began[name] == nil {
		b.began[name] = make(chan struct{})
	}
	return b.began[name]
}

func (b *bench) releaseOf(name string) chan error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.release[name] == nil {
		b.release[name] = make(chan error, 1)
	}
	return b.release[name]
}

// begins waits until the named task runs.
func (b *bench) begins(name string) {
	b.t.Helper()
	select {
	case <-b.chanOf(name):
	case <-time.After(20 * time.Second):
		b.t.Fatalf("task %s did not begin", name)
	}
}

func (b *bench) end(name string, err error) { b.releaseOf(name) <- err }

func (b *bench) dispatch(a blockArgs, opts ...*tasking.DispatchOptions) uuid.UUID {
	b.t.Helper()
	ticket, err := b.block.Dispatch(b.t.Context(), b.q, a, atMostOne(opts))
	if err != nil {
		b.t.Fatalf("Dispatch(%s) = %v", a.Name, err)
	}
	return ticket.TaskID
}

func (b *bench) get(id uuid.UUID) *models.Task {
	b.t.Helper()
	task, err := b.q.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return task
}

func (b *bench) wait(id uuid.UUID, want models.TaskState) *models.Task {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.t.Context(), 30*time.Second, errors.New("the task did not end"))
	defer cancel()
	task, err := b.q.Wait(ctx, id)
	if err != nil {
		b.t.Fatalf("Wait() = %v; task is %s", err, b.get(id).State)
	}
	if task.State != want {
		b.t.Fatalf("state = %s (%+v), want %s", task.State, task.Error, want)
	}
	return task
}

// noReservations fails unless every reservation is free.
func (b *bench) noReservations() {
	b.t.Helper()
	var n int
	if err := b.db.Bun().NewRaw("SELECT count(*) FROM core_taskresource").Scan(b.t.Context(), &n); err != nil {
		b.t.Fatal(err)
	}
	if n != 0 {
		b.t.Errorf("%d reservations are left", n)
	}
}

// noViolations fails if the database is in a state that cannot be. Every test ends with it.
func (b *bench) noViolations() {
	b.t.Helper()
	found, err := inspect.Check(context.WithoutCancel(b.t.Context()), b.q.DB())
	if err != nil && !strings.Contains(err.Error(), "database is closed") { // by a test that had to
		b.t.Error(err)
	}
	for _, v := range found {
		b.t.Error(v)
	}
}

// lockedBuffer is written by a log and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func testLog(t testing.TB) *slog.Logger {
	if _, ok := t.(*testing.B); ok {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// each runs fn on what a small and on what a large installation has.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Run("sqlite in process", func(t *testing.T) {
		t.Parallel()
		fn(t, setup(t, dbtest.SQLite(t), ""))
	})
	t.Run("postgres and redis", func(t *testing.T) {
		t.Parallel()
		url := dbtest.RedisURL(t)
		fn(t, setup(t, dbtest.Postgres(t), url))
	})
}

// onEach runs fn on each database, without a Redis.
func onEach(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, setup(t, url, ""))
	})
}

// redisClient returns a connection of the test's own to the queue's Redis. The caller closes it.
func (b *bench) redisClient() redis.UniversalClient {
	b.t.Helper()
	opts, err := redis.ParseURL(b.redisURL)
	if err != nil {
		b.t.Fatal(err)
	}
	return redis.NewClient(opts)
}

// atMostOne returns the options of a call, or nil.
func atMostOne(opts []*tasking.DispatchOptions) *tasking.DispatchOptions {
	if len(opts) == 0 {
		return nil
	}
	return opts[0]
}
