//go:build unix

package dbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisURL returns the URL of an empty Redis database that no other test uses until this one ends.
//
// If PULP_TEST_REDIS_URL is set, that is one of its databases 1 to 15, held by a lock key in database 0; it waits for
// one to be free. Publish and subscribe are not separated by database. Else it starts a redis-server for this test
// alone, and where none is installed it skips the test, loudly.
func RedisURL(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv(RedisEnv)
	if server == "" {
		return StartRedis(tb).URL()
	}
	opts, err := redis.ParseURL(server)
	if err != nil {
		tb.Fatalf("dbtest: %s is not a redis:// URL", RedisEnv) // err could quote a password
	}
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	lease := &redisLease{opts: opts, token: rand.Text()}
	if err := lease.take(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	// The context of a test is canceled before its cleanups, and these may still use the database.
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	var keeper sync.WaitGroup
	keeper.Go(func() { lease.keep(ctx, leaseTime/4) })
	tb.Cleanup(func() {
		stop()
		// A renewal after the release would prolong the lease of the next test.
		keeper.Wait()
		if err := lease.release(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	own, err := redisDatabaseURL(server, lease.number)
	if err != nil {
		tb.Fatal(err)
	}
	return own
}

// Redis is a redis-server process of one test, without persistence: stopping it loses everything, as a crash does.
type Redis struct {
	tb     testing.TB
	binary string
	args   []string // beside the usual ones
	dir    string
	port   int
	cmd    *exec.Cmd // nil while stopped
}

// StartRedis starts a redis-server for this test alone and stops it when the test ends. Where none is installed it
// skips the test, loudly.
func StartRedis(tb testing.TB) *Redis {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		leaveOut(tb, redisNotice, redisLeftOut, tb.Skip)
	}
	return startRedis(tb, binary)
}

// StartValkey is StartRedis with the program valkey-server, for which not every system has a package: it skips the test
// even with StrictEnv.
func StartValkey(tb testing.TB) *Redis {
	tb.Helper()
	binary, err := exec.LookPath("valkey-server")
	if err != nil {
		valkeyLeftOut()
		tb.Skip(valkeyNotice)
	}
	return startRedis(tb, binary)
}

func startRedis(tb testing.TB, binary string, args ...string) *Redis {
	tb.Helper()
	r := &Redis{tb: tb, binary: binary, args: args, dir: tb.TempDir()}
	tb.Cleanup(r.Stop)
	var err error
	for range 5 { // another process may take the port between its choice and its use
		r.port = freePort(tb)
		if err = r.start(); err == nil {
			return r
		}
	}
	tb.Fatal(err)
	return nil
}

// URL returns the URL of database 0.
func (r *Redis) URL() string { return "redis://" + r.Addr() + "/0" }

// Addr returns "127.0.0.1:<port>".
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Stop kills the server, as a crash would. Stopping a stopped server has no effect.
func (r *Redis) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // killed, so never nil
	r.cmd = nil
}

// Restart starts the server again, empty and at the same URL, stopping it first if it runs.
func (r *Redis) Restart() {
	r.tb.Helper()
	r.Stop()
	if err := r.start(); err != nil {
		r.tb.Fatal(err)
	}
}

// Pause stops the server from answering without ending its connections, until Resume.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Resume lets it answer again, what was asked meanwhile first.
func (r *Redis) Resume() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) {
	r.tb.Helper()
	if r.cmd == nil {
		r.tb.Fatal("dbtest: redis is stopped")
	}
	if err := r.cmd.Process.Signal(s); err != nil {
		r.tb.Fatal(err)
	}
}

// Flush removes everything from all databases.
func (r *Redis) Flush() {
	r.tb.Helper()
	client := r.client()
	defer client.Close()
	if err := client.FlushAll(context.Background()).Err(); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *Redis) start() error {
	args := []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--databases", "16",
	}
	cmd := exec.Command(r.binary, append(args, r.args...)...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("dbtest: start redis-server: %w", err)
	}
	r.cmd = cmd
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := r.awaitReady(ctx); err != nil {
		r.Stop()
		return err
	}
	return nil
}

// awaitReady waits for the answer of this very process.
func (r *Redis) awaitReady(ctx context.Context) error {
	client := r.client()
	defer client.Close()
	want := fmt.Sprintf("process_id:%d\r\n", r.cmd.Process.Pid)
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		info, err := client.Info(ctx, "server").Result()
		if err != nil {
			return false, nil // not up yet
		}
		// Another process may have taken the port after freePort, and its server answers, too.
		if !strings.Contains(info, want) {
			return false, fmt.Errorf("dbtest: port %d is another redis-server's", r.port)
		}
		return true, nil
	})
}

func (r *Redis) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     r.Addr(),
		MaxRetries:               -1, // poll tries again itself
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

const redisNotice = "LEFT OUT: Redis (" + RedisEnv + " is not set and redis-server is not installed; see make services)"

var redisLeftOut = loudly(redisNotice)

const valkeyNotice = "LEFT OUT: Valkey (valkey-server is not installed)"

var valkeyLeftOut = loudly(valkeyNotice)

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
