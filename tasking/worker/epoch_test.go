package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// epochBench has two processes that look whether Redis has lost its data, which only says so in their log.
type epochBench struct {
	*bench
	queues  []*tasking.Queue
	workers []*worker.Worker
	log     lockedBuffer
}

func newEpochBench(t *testing.T, dbURL, redisURL string) *epochBench {
	t.Helper()
	b := &epochBench{bench: setup(t, dbURL, redisURL)}
	for range 2 {
		b.q = b.queueWith(tasking.QueueOptions{
			RedisURL: redisURL, Prefix: "epochs", Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		})
		w := b.worker(worker.Options{})
		if err := w.RunPending(t.Context()); err != nil { // makes the installation known
			t.Fatal(err)
		}
		b.queues, b.workers = append(b.queues, b.q), append(b.workers, w)
	}
	return b
}

func (b *epochBench) check(i int) {
	b.t.Helper()
	if err := worker.CheckEpoch(b.t.Context(), b.workers[i]); err != nil {
		b.t.Error(err)
	}
}

func (b *epochBench) word() string {
	return worker.Redis(b.queues[0]).Get(b.t.Context(), "epochs:epoch").Val()
}

// rounds returns how often everything was delivered again.
func (b *epochBench) rounds() int { return strings.Count(b.log.String(), "redis is new") }

// TestEpochWaitsForNoRedisInATransaction writes to the database whenever a process asks Redis for something.
func TestEpochWaitsForNoRedisInATransaction(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := newEpochBench(t, dbURL, redisURL)
		id := b.dispatch(blockArgs{Name: "x"})
		commands := 0
		worker.Redis(b.queues[0]).AddHook(beforeCommand(func(ctx context.Context, cmd redis.Cmder) error {
			commands++
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			err := b.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
				_, err := tx.Bun().NewRaw("UPDATE core_task SET logging_cid = 'seen' WHERE pulp_id = ?", id).Exec(ctx)
				return err
			})
			if err != nil {
				t.Errorf("%s waits for Redis within a transaction: %v", cmd.Name(), err)
			}
			return nil
		}))
		before := b.due([]uuid.UUID{id})
		b.check(0)
		if commands < 2 || b.rounds() != 1 || b.word() == "" {
			t.Errorf("%d commands, %d rounds, word %q", commands, b.rounds(), b.word())
		}
		if _, err := worker.RedeliverPage(t.Context(), b.workers[1]); err != nil {
			t.Error(err)
		}
		if now := b.due([]uuid.UUID{id}); now[0] >= before[0] {
			t.Errorf("the task is due at %s, was at %s", now, before)
		}
	})
}

// TestEpochSurvivesACrash finds a word in Redis that a process set which died before it told the database.
func TestEpochSurvivesACrash(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := newEpochBench(t, dbURL, redisURL)
		b.check(0)
		b.check(1)
		if b.rounds() != 1 {
			t.Fatalf("%d rounds for a new Redis, want 1", b.rounds())
		}
		ctx, die := context.WithCancelCause(t.Context())
		gets := 0
		worker.Redis(b.queues[0]).AddHook(beforeCommand(func(_ context.Context, cmd redis.Cmder) error {
			if cmd.Name() == "get" {
				if gets++; gets == 2 { // after the new word was set
					die(errors.New("the process died"))
				}
			}
			return nil
		}))
		if err := worker.Redis(b.queues[1]).Del(t.Context(), "epochs:epoch").Err(); err != nil {
			t.Fatal(err)
		}
		if err := worker.CheckEpoch(ctx, b.workers[0]); err == nil {
			t.Fatal("the process did not die")
		}
		word := b.word()
		b.check(1)
		b.check(1)
		if now := b.word(); word == "" || now != word || b.rounds() != 2 {
			t.Errorf("word %q, then %q, %d rounds, want the same word and 2", word, now, b.rounds())
		}
	})
}

// TestEpochOfTwoProcessesAtOnce has two that find the same Redis empty before either does anything about it.
func TestEpochOfTwoProcessesAtOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := newEpochBench(t, dbURL, redisURL)
		var looked atomic.Int32
		var looking sync.WaitGroup
		both := make(chan struct{})
		for i := range b.queues {
			var sets atomic.Int32
			worker.Redis(b.queues[i]).AddHook(beforeCommand(func(_ context.Context, cmd redis.Cmder) error {
				if cmd.Name() != "set" || sets.Add(1) > 1 {
					return nil
				}
				if looked.Add(1) == 2 {
					close(both)
				}
				select {
				case <-both:
					return nil
				case <-time.After(10 * time.Second):
					return errors.New("the other process does not get here")
				}
			}))
			looking.Go(func() { b.check(i) })
		}
		looking.Wait()
		word := b.word()
		b.check(0)
		b.check(1)
		if b.rounds() != 1 || b.word() != word {
			t.Errorf("word %q, then %q, %d rounds, want 1", word, b.word(), b.rounds())
		}
	})
}
