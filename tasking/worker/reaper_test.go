package worker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestObserverThatSleptDeclaresNobodyDead has everything stand still for longer than a TTL, as when a machine is
// paused: the observer looks before the other one comes to its heartbeat.
func TestObserverThatSleptDeclaresNobodyDead(t *testing.T) {
	t.Parallel()
	url := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, url, "")
		o, err := worker.NewObserver(t.Context(), b.worker(worker.Options{TTL: 2 * time.Minute}))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		const ttl = 30 * time.Second
		id := b.dispatch(blockArgs{Name: "x"})
		worker := *b.claim(id).WorkerID
		b.deadWorker(worker, ttl)
		look := func() time.Duration {
			pause, err := o.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return pause
		}
		beat := func() { b.exec("UPDATE core_worker SET beat = beat + 1 WHERE pulp_id = ?", worker) }
		for range 5 {
			<-time.After(look())
			beat()
			look()
			<-time.After(10 * time.Minute)
		}
		look()
		if state := b.get(id).State; state != models.Running {
			t.Fatalf("the task is %s", state)
		}
		beat() // the last one
		began := time.Now()
		for b.get(id).State == models.Running && time.Since(began) < 5*time.Minute {
			<-time.After(look())
		}
		b.wait(id, models.Failed)
		if took := time.Since(began); took < ttl || took > 2*ttl {
			t.Errorf("the task failed as lost after %v of a TTL of %v", took, ttl)
		}
	})
}

// slowDiscard is a Discard that says what it begins with and then waits.
func slowDiscard(began chan<- string, leave <-chan struct{}) func(context.Context, *models.DB, string) error {
	return func(_ context.Context, _ *models.DB, prn string) error {
		began <- prn
		<-leave
		return nil
	}
}

// incomplete notes a resource that a task has not completed.
func (b *bench) incomplete(task uuid.UUID, prn string) {
	b.t.Helper()
	b.exec(`INSERT INTO core_createdresource (pulp_id, pulp_created, task_id, prn, incomplete) VALUES (?, ?, ?, ?, TRUE)`,
		models.NewID(), models.Now(), task, prn)
}

// TestSlowTakeoversHoldUpNobody has the tasks of dead workers leave what takes long to discard.
func TestSlowTakeoversHoldUpNobody(t *testing.T) {
	t.Parallel()
	const ttl = labTTL
	each(t, func(t *testing.T, b *bench) {
		began, leave := make(chan string, 8), make(chan struct{})
		end := sync.OnceFunc(func() { close(leave) })
		defer end()
		b.run(worker.Options{TTL: ttl, Kinds: []string{worker.KindAPI}, NoTasks: true, Discard: slowDiscard(began, leave)})
		var slow []uuid.UUID
		first := uuid.New()
		for i := range 2 {
			id := b.dispatch(blockArgs{Exclusive: []string{fmt.Sprint("slow", i)}})
			b.claim(id)
			b.exec("UPDATE core_task SET worker_id = ? WHERE pulp_id = ?", first, id)
			b.incomplete(id, fmt.Sprint("prn:test.half:", i))
			slow = append(slow, id)
		}
		b.deadWorker(first, ttl)
		for range slow {
			select {
			case <-began:
			case <-time.After(20 * time.Second):
				t.Fatal("a task of a dead worker waits for another one's end")
			}
		}
		id := b.dispatch(blockArgs{Exclusive: []string{"other"}})
		b.deadWorker(*b.claim(id).WorkerID, ttl)
		b.wait(id, models.Failed)
		end()
		for _, id := range slow {
			b.wait(id, models.Failed)
		}
	})
}

// TestStrangersDoNotSilenceTheHeartbeat has the database show a task as a worker's own that the worker knows nothing
// of.
func TestStrangersDoNotSilenceTheHeartbeat(t *testing.T) {
	t.Parallel()
	const ttl = labTTL
	each(t, func(t *testing.T, b *bench) {
		began, leave := make(chan string, 1), make(chan struct{})
		end := sync.OnceFunc(func() { close(leave) })
		defer end()
		w := b.worker(worker.Options{TTL: ttl, Kinds: []string{worker.KindAPI}, NoTasks: true, Discard: slowDiscard(began, leave)})
		worker.SetUnattendedTimeout(w, 2*ttl)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ran := make(chan error, 1)
		go func() { ran <- w.Run(ctx) }()
		row := b.onlyWorker()
		id := b.dispatch(blockArgs{Exclusive: []string{"r"}})
		b.claim(id)
		b.incomplete(id, "prn:test.half:done")
		b.exec("UPDATE core_task SET worker_id = ? WHERE pulp_id = ?", row.ID, id)
		select {
		case <-began:
		case <-time.After(20 * time.Second):
			t.Fatal("the task stays nobody's")
		}
		beat := b.onlyWorker().Beat
		eventually(t, "heartbeats during the takeover", func() bool { return b.onlyWorker().Beat > beat+5 })
		end()
		if task := b.wait(id, models.Failed); task.Error == nil || task.Error.Reason != "Worker has gone missing." {
			t.Errorf("error = %+v", task.Error)
		}
		if after := b.onlyWorker(); after.ID != row.ID {
			t.Errorf("the worker is %s, was %s", after.ID, row.ID)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run() = %v", err)
		}
		b.noReservations()
	})
}

// onlyWorker waits until there is exactly one worker.
func (b *bench) onlyWorker() (row *models.Worker) {
	b.t.Helper()
	eventually(b.t, "one worker", func() bool {
		list, err := inspect.Workers(b.t.Context(), b.q.DB())
		if err != nil || len(list) != 1 {
			return false
		}
		row = list[0]
		return true
	})
	return row
}
