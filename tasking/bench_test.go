package tasking_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/tasking"
)

// BenchmarkDispatchToStart measures the time from the call of Dispatch to the first statement of the task, one task at
// a time on an idle system, and beside it what asynq alone takes with the same Redis.
func BenchmarkDispatchToStart(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		for redis, redisURL := range map[string]func(testing.TB) string{"embedded": nil, "redis": dbtest.RedisURL} {
			b.Run(name+"/"+redis, func(b *testing.B) {
				url := ""
				if redisURL != nil {
					url = redisURL(b)
				}
				s := setup(b, database(b), url)
				started := make(chan time.Time, 1)
				task := tasking.Define[noArgs]("test.start")
				s.run(tasking.WorkerOptions{Bindings: []tasking.Binding{task.Do(
					func(context.Context, *tasking.Env, noArgs) error { started <- time.Now(); return nil })}})
				measure(b, started, func() error {
					_, err := task.Dispatch(b.Context(), s.q, noArgs{}, &tasking.Options{Exclusive: tasking.Named("r")})
					return err
				})
			})
		}
	}
	b.Run("asynq alone", func(b *testing.B) {
		s := setup(b, dbtest.SQLite(b), dbtest.RedisURL(b))
		started := make(chan time.Time, 1)
		server := asynq.NewServerFromRedisClient(tasking.Redis(s.q), asynq.Config{
			TaskCheckInterval: 20 * time.Millisecond, LogLevel: asynq.FatalLevel,
		})
		handler := func(context.Context, *asynq.Task) error { started <- time.Now(); return nil }
		if err := server.Start(asynq.HandlerFunc(handler)); err != nil {
			b.Fatal(err)
		}
		defer server.Shutdown()
		client := asynq.NewClientFromRedisClient(tasking.Redis(s.q))
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

// BenchmarkThroughput measures whole lives of tasks that do nothing, dispatched from eight goroutines, 400 at a time.
func BenchmarkThroughput(b *testing.B) {
	const batch, dispatchers = 400, 8
	for name, database := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s := setup(b, database(b), dbtest.RedisURL(b))
			task := tasking.Define[int]("test.nothing")
			ended := make(chan struct{}, batch)
			s.run(tasking.WorkerOptions{Slots: 16, Bindings: []tasking.Binding{task.Do(
				func(context.Context, *tasking.Env, int) error { ended <- struct{}{}; return nil })}})
			for b.Loop() {
				var wg sync.WaitGroup
				for d := range dispatchers {
					wg.Go(func() {
						for i := range batch / dispatchers {
							o := &tasking.Options{Exclusive: tasking.Named(fmt.Sprint(d, i))}
							if _, err := task.Dispatch(b.Context(), s.q, i, o); err != nil {
								b.Error(err)
							}
						}
					})
				}
				for range batch {
					<-ended
				}
				wg.Wait()
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}
