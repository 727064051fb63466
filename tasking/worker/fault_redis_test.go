package worker_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// redisLab is a laboratory with a Redis of its own.
type redisLab struct {
	*lab
	server *dbtest.Redis
	client redis.UniversalClient
}

func newRedisLab(t *testing.T, dbURL string) *redisLab {
	t.Helper()
	server := dbtest.StartRedis(t)
	l := newLab(t, dbURL, server.URL())
	return &redisLab{lab: l, server: server, client: worker.Redis(l.q)}
}

// key returns the name of one of asynq's keys.
func (l *redisLab) key(what string) string {
	return fmt.Sprintf("asynq:{%s}:%s", worker.RedisName(l.q), what)
}

func (l *redisLab) do(args ...any) {
	l.t.Helper()
	if err := l.client.Do(l.t.Context(), args...).Err(); err != nil {
		l.t.Fatalf("%v: %v", args, err)
	}
}

func (l *redisLab) inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(l.client) }

// quiet waits until Redis has no message that nobody has taken, and as many taken ones as said.
func (l *redisLab) quiet(active int) {
	l.t.Helper()
	eventually(l.t, "the end of the messages", func() bool {
		info, err := l.inspector().GetQueueInfo(worker.RedisName(l.q))
		return err == nil && info.Pending+info.Scheduled+info.Retry == 0 && info.Active == active
	})
}

func TestFaultsOfRedis(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(*testing.T, *redisLab){
		"F12 flush":                         faultFlush,
		"F14 pause":                         faultPause,
		"F18 eviction":                      faultEviction,
		"F19 five messages, three workers":  faultDuplicates,
		"F21 messages of ended tasks":       faultLateMessages,
		"F23 lost word of a cancellation":   faultLostCancel,
		"F24 lost word of a ready task":     faultLostWake,
		"F25 second delivery while running": faultSecondDelivery,
		"F26 script flush":                  faultScriptFlush,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, newRedisLab(t, dbtest.SQLite(t)))
		})
	}
}

func faultFlush(t *testing.T, l *redisLab) {
	const ready, blocked, running = 100, 10, 3
	l.work(worker.Options{Slots: running})
	states := map[uuid.UUID]string{}
	for i := range running {
		name := fmt.Sprint("running", i)
		states[l.send(labArgs{Name: name, Do: "wait", Exclusive: []string{name}})] = name
		l.begun(name)
	}
	for i := range blocked {
		name := fmt.Sprint("blocked", i)
		states[l.send(labArgs{Name: name, Exclusive: []string{fmt.Sprint("running", i%running)}})] = name
	}
	for i := range ready {
		name := fmt.Sprint("ready", i)
		states[l.send(labArgs{Name: name})] = name
	}
	l.server.Flush()
	began := time.Now()
	for i := range running {
		l.let(fmt.Sprint("running", i))
	}
	for id, name := range states {
		l.wait(id, models.Completed)
		l.ran(name, 1)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("all was done after %v, want 10 s at most", took)
	}
	l.quiet(0) // asks an Inspector, which knows no queue until a new client has announced it
	l.noReservations()
}

// faultPause is a Redis that does not answer for a while; of the 60 s of the scenario nothing depends on the length,
// because a task's context is not asynq's.
func faultPause(t *testing.T, l *redisLab) {
	l.work(worker.Options{})
	running := l.send(labArgs{Name: "running", Do: "wait"})
	l.begun("running")
	l.server.Pause()
	resume := sync.OnceFunc(l.server.Resume)
	defer resume()
	<-time.After(2 * labTTL)
	if state := l.get(running).State; state != models.Running {
		t.Errorf("the task is %s while Redis is paused", state)
	}
	during := l.send(labArgs{Name: "during"})
	l.let("running")
	l.wait(running, models.Completed)
	resume()
	l.wait(during, models.Completed)
	l.ran("running", 1)
	l.ran("during", 1)
	l.quiet(0)
}

func faultEviction(t *testing.T, l *redisLab) {
	l.do("config", "set", "maxmemory-policy", "allkeys-lru")
	var log lockedBuffer
	l.work(worker.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	eventually(t, "a warning", func() bool { return strings.Contains(log.String(), "noeviction") })
	l.wait(l.send(labArgs{Name: "x"}), models.Completed)
}

func faultDuplicates(t *testing.T, l *redisLab) {
	id := l.send(labArgs{Name: "x", Do: "wait"})
	for gen := range 5 {
		if err := worker.Announce(t.Context(), l.q, id, 1+gen); err != nil {
			t.Fatal(err)
		}
	}
	own := l.q
	for range 3 {
		l.q = l.open()
		l.work(worker.Options{Slots: 2})
	}
	l.q = own
	l.begun("x")
	l.quiet(1)
	l.let("x")
	l.wait(id, models.Completed)
	l.quiet(0)
	l.ran("x", 1)
}

func faultLateMessages(t *testing.T, l *redisLab) {
	stop := l.work(worker.Options{})
	completed := l.send(labArgs{Name: "completed"})
	l.wait(completed, models.Completed)
	deleted := l.send(labArgs{Name: "deleted"})
	l.wait(deleted, models.Completed)
	if err := inspect.Delete(t.Context(), l.q.DB(), deleted); err != nil {
		t.Fatal(err)
	}
	failed := l.dispatch(blockArgs{Name: "failed"})
	l.end("failed", fmt.Errorf("no"))
	l.wait(failed, models.Failed)
	stop()
	canceled := l.send(labArgs{Name: "canceled"})
	if _, err := l.q.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{completed, deleted, failed, canceled} {
		if err := worker.Announce(t.Context(), l.q, id, 7); err != nil {
			t.Fatal(err)
		}
	}
	l.work(worker.Options{})
	l.quiet(0)
	l.ran("completed", 1)
	l.ran("deleted", 1)
	l.ran("canceled", 0)
	if len(l.order) != 1 || l.get(canceled).State != models.Canceled || l.get(completed).Attempt != 1 {
		t.Errorf("runs of the failed task = %v", l.order)
	}
}

func faultLostCancel(t *testing.T, l *redisLab) {
	l.work(worker.Options{})
	id := l.send(labArgs{Name: "x", Do: "wait"})
	l.begun("x")
	deaf := l.bench.queue(l.redisURL) // whose words go elsewhere
	if _, err := deaf.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l.wait(id, models.Canceled)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("canceled after %v, want 4 s at most", took)
	}
}

func faultLostWake(t *testing.T, l *redisLab) {
	l.work(worker.Options{})
	l.wait(l.send(labArgs{Name: "first"}), models.Completed)
	own := l.q
	l.q = l.bench.queue(l.redisURL)
	id := l.send(labArgs{Name: "x"})
	l.q = own
	began := time.Now()
	if err := worker.Announce(t.Context(), l.q, id, 0); err != nil { // without a wake
		t.Fatal(err)
	}
	l.begun("x")
	if took := time.Since(began); took > 1500*time.Millisecond { // the relay would need more than two seconds
		t.Errorf("begun after %v, want about 250 ms", took)
	}
	l.wait(id, models.Completed)
}

// faultSecondDelivery does what asynq's recoverer does to a message whose lease has expired.
func faultSecondDelivery(t *testing.T, l *redisLab) {
	l.work(worker.Options{Slots: 2})
	id := l.send(labArgs{Name: "x", Do: "wait"})
	other := l.send(labArgs{Name: "other", Do: "wait"})
	l.begun("x")
	l.begun("other")
	third := l.send(labArgs{Name: "third"})
	message := id.String() + ".0"
	l.do("zrem", l.key("lease"), message)
	l.do("lrem", l.key("active"), 0, message)
	l.do("hset", l.key("t:"+message), "state", "pending")
	l.do("rpush", l.key("pending"), message)
	<-time.After(labTTL) // in which a third slot, if there were one, would have it
	l.ran("third", 0)
	l.let("other")
	l.wait(other, models.Completed)
	l.wait(third, models.Completed) // behind the message, so that has been dealt with
	l.ran("x", 1)
	if state := l.get(id).State; state != models.Running {
		t.Errorf("the task is %s", state)
	}
	l.let("x")
	l.wait(id, models.Completed)
	l.ran("x", 1)
}

func faultScriptFlush(_ *testing.T, l *redisLab) {
	l.work(worker.Options{})
	for i := range 3 {
		name := fmt.Sprint("x", i)
		id := l.send(labArgs{Name: name})
		l.wait(id, models.Completed)
		l.ran(name, 1)
		l.do("script", "flush")
	}
}

// TestFaultsOfMessages loses the message of a ready task in all the ways that asynq and Redis have.
func TestFaultsOfMessages(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(l *redisLab, message string){
		"F15 its hash is gone": func(l *redisLab, message string) { l.do("del", l.key("t:"+message)) },
		"F16 it is stuck as active": func(l *redisLab, message string) {
			l.do("rpoplpush", l.key("pending"), l.key("active"))
			l.do("hset", l.key("t:"+message), "state", "active")
		},
		"F17 it was archived": func(l *redisLab, message string) {
			if err := l.inspector().ArchiveTask(worker.RedisName(l.q), message); err != nil {
				l.t.Fatal(err)
			}
		},
		"F22 a replica never had it": func(l *redisLab, message string) {
			l.do("lrem", l.key("pending"), 0, message)
			l.do("del", l.key("t:"+message))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newRedisLab(t, dbtest.SQLite(t))
			l.work(worker.Options{Kinds: []string{worker.KindAPI}, NoTasks: true})
			epoch := l.prefix + ":epoch"
			eventually(t, "the end of the first epoch's deliveries", func() bool {
				var left []string // of the deliveries; "" at their end
				err := l.db.Bun().NewRaw("SELECT value FROM core_taskingmeta WHERE key = 'redelivery'").Scan(t.Context(), &left)
				return err == nil && len(left) == 1 && left[0] == ""
			})
			word := l.client.Get(t.Context(), epoch).Val()
			id := l.send(labArgs{Name: "x"})
			lose(l, id.String()+".0")
			l.start(labConfig{})
			l.wait(id, models.Completed)
			l.ran("x", 1)
			if now := l.client.Get(t.Context(), epoch).Val(); now != word {
				t.Error("everything was delivered again, not only what was lost")
			}
		})
	}
}

// TestFaultF22Failover moves to a replica under way.
func TestFaultF22Failover(t *testing.T) {
	t.Parallel()
	sentinel := dbtest.StartSentinel(t)
	b := setup(t, dbtest.SQLite(t), "")
	b.q = b.queueWith(tasking.QueueOptions{Redis: sentinel.Options()})
	b.outlive(sentinel.FailOver)
	after := b.dispatch(blockArgs{Name: "after"})
	b.begins("after")
	b.end("after", nil)
	b.wait(after, models.Completed)
	if len(b.order) != 3 {
		t.Errorf("runs = %v", b.order)
	}
}

func TestTasksRunOnValkey(t *testing.T) {
	t.Parallel()
	server := dbtest.StartValkey(t)
	b := setup(t, dbtest.SQLite(t), server.URL())
	b.run(worker.Options{})
	first := b.dispatch(blockArgs{Name: "first"})
	b.begins("first")
	server.Restart()
	b.end("first", nil)
	b.wait(first, models.Completed)
	second := b.dispatch(blockArgs{Name: "second"})
	b.end("second", nil)
	b.wait(second, models.Completed)
}
