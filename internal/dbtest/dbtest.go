// Package dbtest gives tests a database of their own: always SQLite, Postgres where PULP_TEST_POSTGRES_URL names a
// server, and Redis where PULP_TEST_REDIS_URL names one or a redis-server is installed. It knows no schema and no
// package of this module, so that every one of them can use it.
//
// Tests that need a server that is not there are skipped, loudly; with PULP_TEST_STRICT=1 they fail.
package dbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Environment variables that name the servers to test with; "make services" starts such servers and prints the values.
const (
	// PostgresEnv is the URL of a Postgres role that may create databases.
	PostgresEnv = "PULP_TEST_POSTGRES_URL"
	// RedisEnv is a redis:// URL. Tests empty its databases 1 to 15.
	RedisEnv = "PULP_TEST_REDIS_URL"
	// StrictEnv, if it is "1", makes tests fail that would be skipped because a server is missing.
	StrictEnv = "PULP_TEST_STRICT"
)

// Database is one empty database, for one test.
type Database struct {
	// Name is "sqlite" or "postgres".
	Name string
	// URL is "sqlite:<absolute path>?…" or "postgres://…".
	URL string
}

// URLs returns a new, empty database of each kind that there is; they go when the test ends. SQLite is always among
// them. If Postgres is left out, there is a notice in the test's log and, once per process, on standard error.
func URLs(tb testing.TB) []Database {
	tb.Helper()
	found := []Database{{Name: "sqlite", URL: SQLite(tb)}}
	if os.Getenv(PostgresEnv) == "" {
		leaveOut(tb, postgresNotice, postgresLeftOut, tb.Log)
		return found
	}
	return append(found, Database{Name: "postgres", URL: Postgres(tb)})
}

// Each runs fn as a subtest on a new, empty database of each kind: "sqlite" and "postgres". Without a Postgres server
// the latter is skipped, loudly. fn may call t.Parallel.
func Each(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite returns the URL of a new database file. It trades durability, which no test can observe, for speed.
func SQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "test.db") + "?_pragma=synchronous(OFF)"
}

// Postgres returns the URL of a new database on the server named by PULP_TEST_POSTGRES_URL, and drops it when the test
// ends, with the connections that are left. Without that variable it skips the test, loudly.
func Postgres(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv(PostgresEnv)
	if server == "" {
		leaveOut(tb, postgresNotice, postgresLeftOut, tb.Skip)
	}
	name := "pulp_test_" + strings.ToLower(rand.Text())
	own, err := databaseURL(server, name)
	if err != nil {
		tb.Fatal(err)
	}
	// template0, because it allows no connections, and a connection would make CREATE DATABASE fail.
	if err := execute(tb.Context(), server, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The context of a test is canceled before its cleanups. FORCE ends connections that the test has left open.
		if err := execute(context.Background(), server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return own
}

const postgresNotice = "LEFT OUT: Postgres (" + PostgresEnv +
	" is not set: postgres://… of a role that may create databases)"

var postgresLeftOut = loudly(postgresNotice)

// loudly returns a function that prints a notice on standard error once.
func loudly(notice string) func() {
	return sync.OnceFunc(func() { fmt.Fprintln(os.Stderr, "!!!! "+notice) })
}

// leaveOut reports what is not tested by aloud, which loudly has made, and by tell, which is Skip or Log of tb. With
// StrictEnv the test fails instead.
func leaveOut(tb testing.TB, notice string, aloud func(), tell func(...any)) {
	tb.Helper()
	if os.Getenv(StrictEnv) == "1" {
		tb.Fatal(notice + "; " + StrictEnv + " wants it")
	}
	aloud()
	tell(notice)
}

// LeaveOut returns a function that skips tests for want of a program or a server, loudly: it prints the notice "LEFT
// OUT: what (why)" on standard error once. With StrictEnv the tests fail instead.
func LeaveOut(what, why string) func(tb testing.TB) {
	notice := fmt.Sprintf("LEFT OUT: %s (%s)", what, why)
	aloud := loudly(notice)
	return func(tb testing.TB) {
		tb.Helper()
		leaveOut(tb, notice, aloud, tb.Skip)
	}
}

// databaseURL returns the URL of another database on the same server.
func databaseURL(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", fmt.Errorf("dbtest: %s is not a postgres:// URL", PostgresEnv) // err could quote a password
	}
	q := u.Query()
	q.Del("dbname") // would win over the path
	u.RawQuery = q.Encode()
	u.Path, u.RawPath = "/"+name, ""
	return u.String(), nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, server, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("dbtest: connect to the server of %s: %w", PostgresEnv, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("dbtest: %s: %w", statement, err)
	}
	return nil
}
