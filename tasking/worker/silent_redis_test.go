package worker_test

import (
	"net"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/tasking/worker"
)

// silentRedis returns the URL of a server that accepts connections and never answers.
func silentRedis(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			all = append(all, conn)
		}
		for _, conn := range all {
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return "redis://" + listener.Addr().String() + "/0"
}

// TestSilentRedisHoldsUpNobody has a Redis that neither answers nor refuses, of which the queue does not know yet.
func TestSilentRedisHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const soon = 200*time.Millisecond + time.Second // what Redis may cost, and the database on a busy machine
	for name, prepare := range map[string]func(b *bench) (call func() error){
		"dispatch": func(b *bench) func() error {
			return func() error {
				_, err := b.block.Dispatch(b.t.Context(), b.q, blockArgs{Name: "a"}, nil)
				return err
			}
		},
		"cancellation of a running task": func(b *bench) func() error {
			id := b.dispatch(blockArgs{Name: "a"})
			b.deadWorker(*b.claim(id).WorkerID, time.Hour)
			return func() error {
				_, err := b.q.Cancel(b.t.Context(), id)
				return err
			}
		},
		"end of a task with another one behind it": func(b *bench) func() error {
			for _, name := range []string{"a", "b"} {
				b.dispatch(blockArgs{Name: name, Exclusive: []string{"r"}})
				b.end(name, nil)
			}
			return func() error { return b.worker(worker.Options{}).RunPending(b.t.Context()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, b *bench) {
				call := prepare(b)
				b.q = b.queue(silentRedis(t))
				began := time.Now()
				err := call()
				if took := time.Since(began); err != nil || took > soon {
					t.Errorf("it took %v, want %v at most: %v", took, soon, err)
				}
			})
		})
	}
}
