package worker_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/worker"
)

// beforeCommand is called before each command to Redis, which is not sent if it fails.
type beforeCommand func(ctx context.Context, cmd redis.Cmder) error

// DialHook changes nothing.
func (beforeCommand) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook calls it for each command.
func (fn beforeCommand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if err := fn(ctx, cmd); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmds)
	}
}

// ProcessHook calls it.
func (fn beforeCommand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := fn(ctx, cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

// due returns when tasks are delivered again, as text.
func (b *bench) due(ids []uuid.UUID) (list []string) {
	b.t.Helper()
	for _, id := range ids {
		var due string
		err := b.db.Bun().NewRaw("SELECT CAST(deliver_due AS TEXT) FROM core_task WHERE pulp_id = ?", id).
			Scan(b.t.Context(), &due)
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, due)
	}
	return list
}

// TestSlowRedisIsNotAway has a Redis that takes two of five messages in the time that there is.
func TestSlowRedisIsNotAway(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		var ids []uuid.UUID
		for i := range 5 {
			ids = append(ids, b.dispatch(blockArgs{Name: fmt.Sprint(i)}))
		}
		sub := b.redisClient()
		defer sub.Close()
		wakes := sub.Subscribe(t.Context(), worker.Prefix(b.q)+":wake")
		defer wakes.Close()
		if _, err := wakes.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken := 0
		worker.Redis(b.q).AddHook(beforeCommand(func(ctx context.Context, cmd redis.Cmder) error {
			if !strings.HasPrefix(cmd.Name(), "eval") {
				return nil
			}
			if taken++; taken <= 2 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		before := b.due(ids)
		for gen := 7; gen < 17; gen++ { // on a machine that is too busy not even two are taken in time
			taken = 0
			worker.Deliver(t.Context(), b.q, gen, ids...)
			if !worker.IsDown(b.q) {
				break
			}
			<-time.After(1100 * time.Millisecond) // Redis is left alone for a second
		}
		if worker.IsDown(b.q) {
			t.Error("a slow Redis counts as away")
		}
		for i, due := range b.due(ids) {
			if soon := due < before[i]; soon != (i >= 2) {
				t.Errorf("task %d is due at %s, was at %s", i, due, before[i])
			}
		}
		if _, err := wakes.ReceiveTimeout(t.Context(), 10*time.Second); err != nil {
			t.Errorf("nobody is woken: %v", err)
		}
	})
}

// TestBacklogIsForgotten has a peak that ends without anything being due.
func TestBacklogIsForgotten(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		least := worker.Grace(b.q)
		w := b.worker(worker.Options{})
		worker.SetBacklog(b.q, 30_000)
		if got := worker.Grace(b.q); got < least+30*time.Second {
			t.Fatalf("grace = %v at the peak", got)
		}
		for range 15 { // once a second
			if err := worker.Relay(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		if got := worker.Grace(b.q); got != least {
			t.Errorf("grace = %v after the peak, want %v", got, least)
		}
	})
}

// TestRelayTrustsAWorkerForAWhile has a message that a worker took, about a task that it does not claim.
func TestRelayTrustsAWorkerForAWhile(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := setup(t, dbURL, redisURL)
		id := b.dispatch(blockArgs{Name: "x"})
		if err := worker.Announce(t.Context(), b.q, id, 0); err != nil { // a dispatch in a hurry leaves it to the relay
			t.Fatal(err)
		}
		client, key := worker.Redis(b.q), fmt.Sprintf("asynq:{%s}:", worker.RedisName(b.q))
		for _, command := range [][]any{
			{"rpoplpush", key + "pending", key + "active"}, {"hset", key + "t:" + id.String() + ".0", "state", "active"},
		} {
			if err := client.Do(t.Context(), command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		w := b.worker(worker.Options{}) // a TTL of 30 s
		hour := "unblocked_at - interval '1 hour'"
		if strings.HasPrefix(dbURL, "sqlite") {
			hour = "datetime(unblocked_at, '-1 hour')"
		}
		for want, unblocked := range []string{"unblocked_at", hour} {
			b.exec("UPDATE core_task SET deliver_due = pulp_created, unblocked_at = "+unblocked+" WHERE pulp_id = ?", id)
			if err := worker.Relay(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			var gen int
			err := b.db.Bun().NewRaw("SELECT delivery_gen FROM core_task WHERE pulp_id = ?", id).Scan(t.Context(), &gen)
			if err != nil || gen != want {
				t.Errorf("generation = %d, %v, want %d", gen, err, want)
			}
		}
	})
}
