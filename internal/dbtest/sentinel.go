//go:build unix

package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Sentinel is a redis-server with a replica and a sentinel that makes the replica the master when the master is gone.
type Sentinel struct {
	tb      testing.TB
	servers []*Redis // the master first, at the start
	cmd     *exec.Cmd
	addr    string // of the sentinel
}

const sentinelMaster = "pulp"

// StartSentinel starts all three for this test alone and stops them when the test ends. Where redis-sentinel is not
// installed it skips the test, loudly.
func StartSentinel(tb testing.TB) *Sentinel {
	tb.Helper()
	binary, err := exec.LookPath("redis-sentinel")
	if err != nil {
		leaveOut(tb, sentinelNotice, sentinelLeftOut, tb.Skip)
	}
	master := StartRedis(tb)
	replica := startRedis(tb, master.binary, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port))
	s := &Sentinel{tb: tb, servers: []*Redis{master, replica}}
	port := freePort(tb)
	s.addr = fmt.Sprintf("127.0.0.1:%d", port)
	config := filepath.Join(tb.TempDir(), "sentinel.conf")
	// The defaults of sentinel, 30 s and 3 min, are too long for a test.
	text := fmt.Sprintf(`bind 127.0.0.1
port %d
dir %q
sentinel monitor %s 127.0.0.1 %d 1
sentinel down-after-milliseconds %[3]s 500
sentinel failover-timeout %[3]s 3000
`, port, filepath.Dir(config), sentinelMaster, master.port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.cmd = exec.Command(binary, config)
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // killed, so never nil
	})
	// Before the replica is connected, the sentinel has no server to fail over to.
	s.await("the replica", func(ctx context.Context, client *redis.SentinelClient) bool {
		replicas, err := client.Replicas(ctx, sentinelMaster).Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return s
}

// Options returns what a client needs to find the master.
func (s *Sentinel) Options() *redis.UniversalOptions {
	return &redis.UniversalOptions{MasterName: sentinelMaster, Addrs: []string{s.addr}}
}

// FailOver kills the master and returns when the sentinel has made the replica the master. It can be done once.
func (s *Sentinel) FailOver() {
	s.tb.Helper()
	s.servers[0].Stop()
	want := s.servers[1].Addr()
	s.await("the new master", func(ctx context.Context, client *redis.SentinelClient) bool {
		addr, err := client.GetMasterAddrByName(ctx, sentinelMaster).Result()
		if err != nil || strings.Join(addr, ":") != want {
			return false
		}
		// The sentinel may name the new master before that accepts writes.
		own := s.servers[1].client()
		defer own.Close()
		info, err := own.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "role:master")
	})
}

func (s *Sentinel) await(what string, ready func(context.Context, *redis.SentinelClient) bool) {
	s.tb.Helper()
	client := redis.NewSentinelClient(&redis.Options{
		Addr:                     s.addr,
		MaxRetries:               -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) { return ready(ctx, client), nil })
	if err != nil {
		s.tb.Fatalf("%s: %v", what, err)
	}
}

const sentinelNotice = "LEFT OUT: Redis Sentinel (redis-sentinel is not installed)"

var sentinelLeftOut = loudly(sentinelNotice)
