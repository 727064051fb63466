package dbtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func TestOwnPostgresSurvivesItsEnds(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	if err := execute(t.Context(), server.URL(), "CREATE TABLE one (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(){"stop": server.Stop, "kill": server.Kill} {
		end()
		end() // does nothing
		if err := execute(t.Context(), server.URL(), "SELECT 1"); err == nil {
			t.Errorf("%s: the server still answers", name)
		}
		server.Restart()
		if err := execute(t.Context(), server.URL(), "INSERT INTO one VALUES (1)"); err != nil {
			t.Errorf("%s: after the restart: %v", name, err)
		}
	}
	conn := pgConn(t, server.URL())
	if n := server.Terminate(); n < 1 { // those that were just closed may still be there
		t.Errorf("Terminate() = %d, want at least 1", n)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a terminated connection still answers")
	}
}

func TestProxyCutsAtAMessage(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	if err := execute(t.Context(), server.URL(), "CREATE TABLE one (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	p := StartProxy(t, server.Addr())
	tests := map[string]struct {
		arm     func(...string) <-chan struct{}
		arrived int
	}{"before": {p.CutBefore, 0}, "after": {p.CutAfter, 1}}
	for name, tt := range tests {
		conn := pgConn(t, p.URL(server.URL()))
		sprung := tt.arm("insert into ONE", "commit")
		for _, statement := range []string{"truncate one", "begin", "insert into ONE values (1)"} {
			if _, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatalf("%s: %s: %v", name, statement, err)
			}
		}
		if _, err := conn.Exec(t.Context(), "commit", pgx.QueryExecModeSimpleProtocol); err == nil {
			t.Errorf("%s: commit = nil, want an error", name)
		}
		<-sprung
		var n int
		direct := pgConn(t, server.URL())
		if err := direct.QueryRow(t.Context(), "select count(*) from one").Scan(&n); err != nil || n != tt.arrived {
			t.Errorf("%s: %d rows, %v, want %d", name, n, err, tt.arrived)
		}
		if err := execute(t.Context(), p.URL(server.URL()), "insert into ONE values (2)"); err != nil {
			t.Errorf("%s: the proxy cuts more than once: %v", name, err)
		}
	}
}

func TestProxyBreaksConnections(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	p := StartProxy(t, server.Addr())
	client := redis.NewClient(&redis.Options{
		Addr: p.Addr(), MaxRetries: -1, DialerRetries: 1, ReadTimeout: 100 * time.Millisecond,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	ping := func(want bool, when string) {
		t.Helper()
		if err := client.Ping(t.Context()).Err(); (err == nil) != want {
			t.Errorf("ping %s = %v", when, err)
		}
	}
	ping(true, "at first")
	p.Refuse()
	ping(true, "on a present connection")
	p.Cut()
	for client.Ping(t.Context()).Err() == nil { // until the cut has been noticed
	}
	ping(false, "while refused")
	p.Accept()
	ping(true, "when accepted again")
	p.Stall()
	ping(false, "while stalled")
	p.Resume()
	ping(true, "when resumed")
	server.Pause()
	ping(false, "while paused")
	server.Resume()
	ping(true, "when the server goes on")
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Flush()
	if err := client.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("get after Flush = %v, want %v", err, redis.Nil)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := StartSentinel(t)
	opts := s.Options()
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewUniversalClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), "wait", 1, 5000).Err(); err != nil {
		t.Fatal(err)
	}
	s.FailOver()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) { return client.Get(ctx, "key").Val() == "value", nil })
	if err != nil {
		t.Errorf("read from the new master: %v", err)
	}
}

func TestValkeyIsARedis(t *testing.T) {
	t.Parallel()
	server := StartValkey(t)
	info, err := connect(t, server.URL()).Info(t.Context(), "server").Result()
	if err != nil || !strings.Contains(info, "valkey") {
		t.Errorf("info = %q, %v", info, err)
	}
}

func pgConn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
