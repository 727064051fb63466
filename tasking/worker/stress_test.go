package worker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

var stressFor = flag.Duration("stress", 5*time.Second, "how long TestStress begins rounds")

const (
	stressDispatchers = 4
	stressProcesses   = 3
	stressBacklog     = 200              // unfinished tasks at which dispatching waits
	stressRound       = 20 * time.Second // of dispatching, after which everything must end and is checked and removed
	stressPatience    = time.Minute      // without any task ending, while there are some
	stressTTL         = 1500 * time.Millisecond
)

// stressArgs are those of a task that leaves traces: in a table, within its own transactions, and in a file, whoever
// the task may belong to by then.
type stressArgs struct {
	Log               string
	Exclusive, Shared []string
	Pause             time.Duration
}

func (a stressArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Exclusive...), Shared: tasking.Named(a.Shared...)}
}

var stressTask = tasking.Define[stressArgs]("lab.stress")

func stressBody(ctx context.Context, env *tasking.Env, a stressArgs) error {
	if err := stressTrace(ctx, env, a.Log, "begin"); err != nil {
		return err
	}
	select {
	case <-time.After(a.Pause):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return stressTrace(ctx, env, a.Log, "end")
}

func stressTrace(ctx context.Context, env *tasking.Env, log, what string) error {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s %d\n", what, env.Task.ID, env.Task.Attempt)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewRaw("INSERT INTO lab_trace (task_id, attempt, what, at) VALUES (?, ?, ?, ?)",
			env.Task.ID, env.Task.Attempt, what, models.Now()).Exec(ctx)
		return err
	})
}

// TestStress keeps dispatching, canceling, killing and forgetting for the duration of the flag -stress, and compares
// what became of it with what must hold.
func TestStress(t *testing.T) {
	t.Parallel()
	url := stressDatabase(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &stressRun{lab: newLab(t, url, ""), seed: seed, redis: dbtest.StartRedis(t)}
	s.redisURL = s.redis.URL()
	s.q = s.quietQueue()
	if _, err := s.db.Bun().NewRaw(`CREATE TABLE lab_trace (task_id VARCHAR(36) NOT NULL, attempt INTEGER NOT NULL,
		what VARCHAR(10) NOT NULL, at TIMESTAMP NOT NULL)`).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.work(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true, TTL: stressTTL})
	for i := range stressProcesses {
		s.processes[i] = s.start(labConfig{TTL: stressTTL, Slots: 4})
	}
	end := time.Now().Add(*stressFor)
	for left := *stressFor; left > 0 && !t.Failed(); left = time.Until(end) {
		s.round(min(left, stressRound))
	}
	t.Logf("seed %d: %d tasks: %v; %d kills, %d sleeps, %d flushes, %d restarts of Redis, %d forged messages",
		seed, s.total, s.outcomes, s.kills, s.sleeps, s.flushes, s.restarts, s.forged.Load())
}

// stressDatabase returns the URL of a Postgres database, or of SQLite where there is no server.
func stressDatabase(t *testing.T) string {
	if os.Getenv(dbtest.PostgresEnv) == "" {
		return dbtest.SQLite(t)
	}
	return dbtest.Postgres(t)
}

type stressRun struct {
	*lab
	seed      uint64
	redis     *dbtest.Redis
	processes [stressProcesses]*process

	rounds     uint64
	log        string // of the round
	unfinished atomic.Int64
	forged     atomic.Int64

	recentMu sync.Mutex
	recent   [64]uuid.UUID

	total                            int
	outcomes                         map[string]int
	kills, sleeps, flushes, restarts int
}

// quietQueue is a queue that does not fill the test's log.
func (s *stressRun) quietQueue() *tasking.Queue {
	log := slog.New(slog.NewTextHandler(&tail{}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return s.queueWith(tasking.QueueOptions{RedisURL: s.redisURL, Prefix: s.prefix, Log: log})
}

// round dispatches for a while amid chaos, waits until all is over, checks and forgets.
func (s *stressRun) round(d time.Duration) {
	s.rounds++
	s.log = filepath.Join(s.dir, fmt.Sprintf("stress.%d", s.rounds))
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for i := range stressDispatchers {
		wg.Go(func() { s.dispatch(ctx, s.random(i)) })
	}
	wg.Go(func() { s.harass(ctx, s.random(100)) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.chaos(ctx, s.random(101)) })
	wg.Wait()
	s.settle()
	if !s.t.Failed() {
		s.verify()
		s.forget()
	}
}

func (s *stressRun) random(i int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, s.rounds<<16+uint64(i))) //nolint:gosec // a small number
}

// dispatch sends tasks as fast as they end.
func (s *stressRun) dispatch(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		if s.unfinished.Load() > stressBacklog {
			<-time.After(10 * time.Millisecond)
			continue
		}
		a := stressArgs{Log: s.log, Pause: time.Duration(r.IntN(3000)) * time.Microsecond}
		if r.IntN(50) == 0 {
			a.Pause = 300 * time.Millisecond
		}
		for range r.IntN(4) {
			name := fmt.Sprintf("r%d", r.IntN(12))
			if r.IntN(2) == 0 {
				a.Exclusive = append(a.Exclusive, name)
			} else {
				a.Shared = append(a.Shared, name)
			}
		}
		if r.IntN(200) == 0 {
			a.Exclusive = append(a.Exclusive, models.CorePRN("domain", s.db.Domain().ID))
		}
		o := &tasking.DispatchOptions{}
		if r.IntN(20) == 0 {
			o.Mode = []tasking.Mode{tasking.PreferImmediate, tasking.ImmediateOnly}[r.IntN(2)]
		}
		ticket, err := stressTask.Dispatch(s.t.Context(), s.q, a, o)
		switch {
		case err == nil:
			s.recentMu.Lock()
			s.recent[r.IntN(len(s.recent))] = ticket.TaskID
			s.recentMu.Unlock()
			s.unfinished.Add(1) // until watch counts
		case !errors.Is(err, pulperr.Locked):
			s.t.Errorf("Dispatch() = %v", err)
			return
		}
	}
}

// harass cancels and sends messages that are too many or wrong.
func (s *stressRun) harass(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		<-time.After(time.Duration(r.IntN(15)) * time.Millisecond)
		s.recentMu.Lock()
		id := s.recent[r.IntN(len(s.recent))]
		s.recentMu.Unlock()
		if r.IntN(4) == 0 {
			_, err := s.q.Cancel(s.t.Context(), id)
			if err != nil && !errors.Is(err, pulperr.Conflict) && !errors.Is(err, pulperr.NotFound) &&
				!errors.Is(err, pulperr.Locked) {
				s.t.Errorf("Cancel() = %v", err)
			}
			continue
		}
		if r.IntN(8) == 0 {
			id = models.NewID()
		}
		if worker.Announce(ctx, s.q, id, 1000+r.IntN(1000)) == nil {
			s.forged.Add(1)
		}
	}
}

// chaos kills and forgets.
func (s *stressRun) chaos(ctx context.Context, r *rand.Rand) {
	for {
		select {
		case <-time.After(200*time.Millisecond + time.Duration(r.IntN(1500))*time.Millisecond):
		case <-ctx.Done():
			return
		}
		p := &s.processes[r.IntN(len(s.processes))]
		switch n := r.IntN(10); {
		case n < 5:
			s.kills++
			(*p).kill()
			*p = s.start(labConfig{TTL: stressTTL, Slots: 4})
		case n < 6 && os.Getenv(dbtest.PostgresEnv) != "": // asleep in a transaction it would stop all of SQLite
			s.sleeps++
			(*p).signal(syscall.SIGSTOP)
			<-time.After(stressTTL * 3 / 2)
			(*p).signal(syscall.SIGCONT)
		case n < 8:
			s.flushes++
			s.redis.Flush()
		case n < 9:
			s.restarts++
			s.redis.Restart()
		default:
			s.redis.Pause()
			<-time.After(500 * time.Millisecond)
			s.redis.Resume()
		}
	}
}
