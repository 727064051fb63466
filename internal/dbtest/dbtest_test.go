package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachDatabaseIsEmptyAndUsable(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, url string) {
		t.Parallel()
		for range 2 { // a second database of the same kind must not see the first one's table
			db := open(t, url)
			for _, statement := range []string{"CREATE TABLE one (id INTEGER)", "INSERT INTO one VALUES (1)"} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			url = another(t, url)
		}
	})
}

func TestURLsNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	want := "sqlite"
	if os.Getenv(PostgresEnv) != "" {
		want += " postgres"
	}
	var names []string
	for _, d := range URLs(t) {
		names = append(names, d.Name)
		open(t, d.URL)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("URLs = %s, want %s", got, want)
	}
}

func TestPostgresDatabaseGoesWithItsTest(t *testing.T) {
	t.Parallel()
	var own string
	t.Run("inner", func(t *testing.T) {
		own = Postgres(t)
		if _, err := pgx.Connect(t.Context(), own); err != nil { // left open: the drop must not mind
			t.Fatal(err)
		}
	})
	if own == "" {
		t.Skip(postgresNotice)
	}
	if err := execute(t.Context(), own, "SELECT 1"); err == nil {
		t.Errorf("connect after the test = nil, want an error")
	}
}

func TestMissingServersSkip(t *testing.T) {
	t.Setenv(PostgresEnv, "")
	t.Setenv(RedisEnv, "")
	t.Setenv("PATH", t.TempDir())
	for name, use := range map[string]func(testing.TB) string{"postgres": Postgres, "redis": RedisURL} {
		after := false
		t.Run(name, func(t *testing.T) {
			use(t)
			after = true
		})
		if after {
			t.Errorf("%s: the test went on without a server", name)
		}
	}
	if got := URLs(t); len(got) != 1 || got[0].Name != "sqlite" {
		t.Errorf("URLs = %v, want sqlite alone", got)
	}
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, server, want string }{
		{"path", "postgres://u:p@h:1/postgres?sslmode=disable", "postgres://u:p@h:1/x?sslmode=disable"},
		{"no path", "postgresql://h", "postgresql://h/x"},
		{"dbname in the query", "postgres:///?dbname=postgres&host=%2Frun", "postgres:///x?host=%2Frun"},
		{"no URL", "host=h dbname=postgres", ""},
		{"another scheme", "mysql://h/x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := databaseURL(tt.server, "x")
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("databaseURL(%q) = %q, %v, want %q", tt.server, got, err, tt.want)
			}
		})
	}
}

func TestRedisDatabasesAreApart(t *testing.T) {
	t.Parallel()
	first, second := connect(t, RedisURL(t)), connect(t, RedisURL(t))
	if err := first.Set(t.Context(), "key", "first", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := second.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("keys of the second database = %d, %v, want 0", n, err)
	}
}

func TestRedisDatabaseIsEmptiedAndGivenBack(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	var held []*redisLease
	for range lastDatabase {
		lease := &redisLease{opts: opts, token: "a"}
		if err := lease.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		held = append(held, lease)
	}

	late := &redisLease{opts: opts, token: "b"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := late.take(ctx); err == nil {
		t.Fatalf("take with all databases taken = %d, want an error", late.number)
	}
	client := held[3].client(held[3].number)
	defer client.Close()
	if err := client.Set(t.Context(), "key", "left behind", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := held[3].release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := late.take(t.Context()); err != nil || late.number != held[3].number {
		t.Fatalf("take = %d, %v, want %d", late.number, err, held[3].number)
	}
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("keys after release = %d, %v, want 0", n, err)
	}
	if err := held[3].release(t.Context()); err == nil {
		t.Errorf("second release = nil, want an error, as the database is another's")
	}
}

func TestRedisRestartLosesEverything(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	client := connect(t, server.URL())
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server.Stop() // does nothing
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Errorf("ping of a stopped server = nil, want an error")
	}
	server.Restart()
	if err := client.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("get after the restart = %v, want %v", err, redis.Nil)
	}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	path, isFile := strings.CutPrefix(url, "sqlite:")
	if isFile {
		return pool(t, "sqlite", "file:"+path)
	}
	return pool(t, "pgx", url)
}

func pool(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatalf("ping %s: %v", driver, err)
	}
	return db
}

func another(t *testing.T, url string) string {
	t.Helper()
	if strings.HasPrefix(url, "sqlite:") {
		return SQLite(t)
	}
	return Postgres(t)
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestRedisLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	server := StartRedis(t)
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	lease := &redisLease{opts: opts, token: "a"}
	if err := lease.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	locks := lease.client(0)
	defer locks.Close()
	if err := locks.Expire(t.Context(), lockKey(lease.number), leaseTime/2).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var keeper sync.WaitGroup
	keeper.Go(func() { lease.keep(ctx, 10*time.Millisecond) })
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = poll(patience, 10*time.Millisecond, func() (bool, error) {
		left, err := locks.TTL(t.Context(), lockKey(lease.number)).Result()
		return left > leaseTime*3/4, err
	})
	stop()
	keeper.Wait()
	if err != nil {
		t.Errorf("the lease is not renewed: %v", err)
	}
}
