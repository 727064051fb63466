package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// BenchmarkDispatchToStart measures the time from the call of Dispatch to the first statement of the task, one task at
// a time on an idle system, and beside it what asynq alone takes with the same Redis.
func BenchmarkDispatchToStart(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		for redis, redisURL := range map[string]func(testing.TB) string{"in process": nil, "redis": dbtest.RedisURL} {
			b.Run(name+"/"+redis, func(b *testing.B) {
				url := ""
				if redisURL != nil {
					url = redisURL(b)
				}
				s := setup(b, database(b), url)
				started := make(chan time.Time, 1)
				task := tasking.Define[noArgs]("test.start")
				s.run(worker.Options{Bindings: []tasking.Binding{task.Bind(
					func(context.Context, *tasking.Env, noArgs) error { started <- time.Now(); return nil })}})
				measure(b, started, func() error {
					_, err := task.Dispatch(b.Context(), s.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
					return err
				})
			})
		}
	}
	b.Run("asynq alone", func(b *testing.B) {
		s := setup(b, dbtest.SQLite(b), dbtest.RedisURL(b))
		started := make(chan time.Time, 1)
		server := asynq.NewServerFromRedisClient(worker.Redis(s.q), asynq.Config{
			TaskCheckInterval: 20 * time.Millisecond, LogLevel: asynq.FatalLevel,
		})
		handler := func(context.Context, *asynq.Task) error { started <- time.Now(); return nil }
		if err := server.Start(asynq.HandlerFunc(handler)); err != nil {
			b.Fatal(err)
		}
		defer server.Shutdown()
		client := asynq.NewClientFromRedisClient(worker.Redis(s.q))
		measure(b, started, func() error {
			_, err := client.Enqueue(asynq.NewTask("x", nil))
			return err
		})
	})
}

// measure reports how long it takes from a call of dispatch to the time that it causes to be sent.
func measure(b *testing.B, started <-chan time.Time, dispatch func() error) {
	b.Helper()
	if err := dispatch(); err != nil { // the first one warms up
		b.Fatal(err)
	}
	<-started
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := dispatch(); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-started).Sub(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}

// BenchmarkTaskThroughput measures whole lives of tasks that do nothing and reserve one resource each, with a bounded
// number of them on their way, and in the same run what its parts do at most: asynq handing out messages, and Postgres
// committing one row at a time.
func BenchmarkTaskThroughput(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s := setup(b, database(b), dbtest.RedisURL(b))
			throughput(b, s)
			b.StopTimer()
			b.ReportMetric(asynqDrain(b, s), "asynq-drain/s")
			b.ReportMetric(commits(b, s), "commits/s")
		})
	}
}

// BenchmarkTaskThroughputInProcess measures whole lives of tasks on SQLite without Redis.
func BenchmarkTaskThroughputInProcess(b *testing.B) {
	throughput(b, setup(b, dbtest.SQLite(b), ""))
}

const (
	benchDispatchers = 256
	benchSlots       = 256
	benchAhead       = 1000 // tasks that are dispatched and have not begun
)

func throughput(b *testing.B, s *bench) {
	task := tasking.Define[int]("test.nothing")
	ahead := make(chan struct{}, benchAhead)
	nothing := func(context.Context, *tasking.Env, int) error { <-ahead; return nil }
	stop := s.run(worker.Options{Slots: benchSlots, Bindings: []tasking.Binding{task.Bind(nothing)}})
	defer stop()
	run := func(tasks int) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range benchDispatchers {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(tasks); i = next.Add(1) {
					ahead <- struct{}{}
					o := &tasking.DispatchOptions{Exclusive: tasking.Named(fmt.Sprint("r", i))}
					if _, err := task.Dispatch(b.Context(), s.q, int(i), o); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		eventually(b, "the end of all tasks", func() bool {
			var left int
			err := s.db.Bun().NewRaw("SELECT count(*) FROM core_task WHERE state IN ('waiting', 'running', 'canceling')").
				Scan(b.Context(), &left)
			return err == nil && left == 0
		})
	}
	run(benchAhead) // opens the connections
	b.ResetTimer()
	run(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// asynqDrain returns how many messages a second one asynq server hands out to a handler that does nothing.
func asynqDrain(b *testing.B, s *bench) float64 {
	const messages = 5000
	client := asynq.NewClientFromRedisClient(worker.Redis(s.q))
	for range messages {
		if _, err := client.Enqueue(asynq.NewTask("x", nil)); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(messages)
	done := make(chan struct{})
	server := asynq.NewServerFromRedisClient(worker.Redis(s.q), asynq.Config{Concurrency: benchSlots, LogLevel: asynq.FatalLevel})
	began := time.Now()
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if left.Add(-1) == 0 {
			close(done)
		}
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	<-done
	took := time.Since(began)
	server.Shutdown()
	return messages / took.Seconds()
}

// commits returns how many transactions of one small update a second eight connections make.
func commits(b *testing.B, s *bench) float64 {
	const writers, each = 8, 250
	if _, err := s.db.Bun().ExecContext(b.Context(), "CREATE TABLE bench_commit (id INTEGER PRIMARY KEY, n INTEGER)"); err != nil {
		b.Fatal(err)
	}
	for w := range writers {
		if _, err := s.db.Bun().NewRaw("INSERT INTO bench_commit VALUES (?, 0)", w).Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				err := s.db.Tx(b.Context(), func(ctx context.Context, tx *models.Tx) error {
					_, err := tx.Bun().NewRaw("UPDATE bench_commit SET n = n + 1 WHERE id = ?", w).Exec(b.Context())
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return writers * each / time.Since(began).Seconds()
}

// BenchmarkSerialChain measures how many tasks a second get through one resource that all of them need exclusively.
func BenchmarkSerialChain(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s := setup(b, database(b), dbtest.RedisURL(b))
			task := tasking.Define[int]("test.link")
			var left atomic.Int64
			left.Store(int64(b.N))
			ended := make(chan struct{})
			link := func(context.Context, *tasking.Env, int) error {
				if left.Add(-1) == 0 {
					close(ended)
				}
				return nil
			}
			var wg sync.WaitGroup
			for range 8 { // before a worker runs, so that dispatching does not count
				wg.Go(func() {
					for range b.N/8 + 1 {
						if _, err := task.Dispatch(b.Context(), s.q, 0, &tasking.DispatchOptions{Exclusive: tasking.Named("r")}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ResetTimer()
			stop := s.run(worker.Options{Slots: 4, Bindings: []tasking.Binding{task.Bind(link)}})
			<-ended
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			b.StopTimer()
			stop()
		})
	}
}

// BenchmarkBacklog compares how long unrelated tasks take beside 100,000 tasks that wait for one repository, and
// without them; a round of each in turn.
func BenchmarkBacklog(b *testing.B) {
	const waiting, round = 100_000, 200
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			var sides [2]*bench // without and with
			for i := range sides {
				sides[i] = setup(b, database(b), dbtest.RedisURL(b))
			}
			if err := worker.Pile(b.Context(), sides[1].q, waiting, "repository"); err != nil {
				b.Fatal(err)
			}
			task := tasking.Define[int]("test.unrelated")
			var ended [2]chan struct{}
			for i, s := range sides {
				ended[i] = make(chan struct{}, round)
				done := func(context.Context, *tasking.Env, int) error { ended[i] <- struct{}{}; return nil }
				s.run(worker.Options{Slots: 8, Bindings: []tasking.Binding{task.Bind(done)}})
			}
			var took [2]time.Duration
			for b.Loop() {
				for i, s := range sides {
					began := time.Now()
					var wg sync.WaitGroup
					for d := range 8 {
						wg.Go(func() {
							for n := range round / 8 {
								o := &tasking.DispatchOptions{Exclusive: tasking.Named(fmt.Sprint(d, n))}
								if _, err := task.Dispatch(b.Context(), s.q, n, o); err != nil {
									b.Error(err)
								}
							}
						})
					}
					for range round {
						<-ended[i]
					}
					wg.Wait()
					took[i] += time.Since(began)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "with/without")
			b.ReportMetric(float64(b.N*round)/took[1].Seconds(), "tasks/s")
		})
	}
}

// BenchmarkIdle measures what a worker costs that has nothing to do, in this process and in Redis.
func BenchmarkIdle(b *testing.B) {
	s := setup(b, dbtest.Postgres(b), dbtest.RedisURL(b))
	s.run(worker.Options{Slots: 4})
	second := time.NewTicker(time.Second)
	defer second.Stop()
	<-second.C // it has started
	own, redis := processTime(b), redisTime(b, s)
	b.ResetTimer()
	for range b.N {
		<-second.C
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(100*(processTime(b)-own).Seconds()/seconds, "%cpu")
	b.ReportMetric(100*(redisTime(b, s)-redis).Seconds()/seconds, "%cpu-redis")
}

// processTime is the processor time that this process has used.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// redisTime is the processor time that the Redis server has used.
func redisTime(b *testing.B, s *bench) time.Duration {
	info, err := worker.Redis(s.q).InfoMap(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var total float64
	for _, key := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info["CPU"][key], 64)
		if err != nil {
			b.Fatalf("INFO cpu: %v", err)
		}
		total += seconds
	}
	return time.Duration(total * float64(time.Second))
}
