//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a Postgres server of one test, which may stop, kill and restart it without disturbing others. Its
// data survives a kill, but not a power cut, because it does not wait for the disk.
type PostgresServer struct {
	tb   testing.TB
	bin  string // directory of the programs
	data string
	port int
	cmd  *exec.Cmd // nil while stopped
}

// StartPostgres starts a server for this test alone and stops it when the test ends. It takes the programs from the
// PATH or from where Debian has them; where there are none it skips the test, loudly.
func StartPostgres(tb testing.TB) *PostgresServer {
	tb.Helper()
	bin, err := postgresBin()
	if err != nil {
		leaveOut(tb, serverNotice, serverLeftOut, tb.Skip)
	}
	files, err := postgresTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	s := &PostgresServer{tb: tb, bin: bin, data: filepath.Join(reachable(tb), "data")}
	if err := files.unpack(s.data); err != nil {
		tb.Fatal(err)
	}
	// Kill and not Stop, because a checkpoint of data that is removed next is wasted time.
	tb.Cleanup(s.Kill)
	for range 5 { // another process may take the port between its choice and its use
		s.port = freePort(tb)
		if err = s.start(); err == nil {
			return s
		}
	}
	tb.Fatal(err)
	return nil
}

// URL returns the URL of the database "postgres", which is empty at first.
func (s *PostgresServer) URL() string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", s.Addr())
}

// Addr returns "127.0.0.1:<port>".
func (s *PostgresServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Stop shuts the server down: it ends all connections, rolls back their transactions and exits. Stopping a stopped
// server has no effect.
func (s *PostgresServer) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server at once, as a crash does. Killing a stopped server has no effect.
func (s *PostgresServer) Kill() { s.end(syscall.SIGQUIT) }

func (s *PostgresServer) end(how syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(how)
	_ = s.cmd.Wait() // the error only repeats that a signal ended it
	s.cmd = nil
}

// Restart starts the server again with its data and at the same URL, stopping it first if it runs.
func (s *PostgresServer) Restart() {
	s.tb.Helper()
	s.Stop()
	if err := s.start(); err != nil {
		s.tb.Fatal(err)
	}
}

// Terminate ends all connections, as an administrator can, and returns how many there were.
func (s *PostgresServer) Terminate() int {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		s.tb.Fatal(err)
	}
	defer conn.Close(ctx)
	var n int
	err = conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		s.tb.Fatal(err)
	}
	return n
}

func (s *PostgresServer) start() error {
	log, err := os.OpenFile(s.data+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("dbtest: %w", err)
	}
	defer log.Close()
	cmd, err := asPostgres(filepath.Join(s.bin, "postgres"), "-D", s.data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200",
		"-c", "shared_buffers=32MB", "-c", "fsync=off", "-c", "timezone=UTC", "-c", "log_timezone=UTC")
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("dbtest: start postgres: %w", err)
	}
	s.cmd = cmd
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.awaitReady(ctx); err != nil {
		s.Kill()
		// The reason is in the log of the server only.
		text, _ := os.ReadFile(s.data + ".log")
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// awaitReady waits for the answer of this very server.
func (s *PostgresServer) awaitReady(ctx context.Context) error {
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			return false, nil // not up yet
		}
		defer conn.Close(ctx)
		var data string
		if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&data); err != nil {
			return false, fmt.Errorf("dbtest: ask postgres: %w", err)
		}
		// Another process may have taken the port after freePort, and its server answers, too.
		if data != s.data {
			return false, fmt.Errorf("dbtest: port %d is another server's", s.port)
		}
		return true, nil
	})
}

const serverNotice = "LEFT OUT: a Postgres server of the test's own (initdb is not installed)"

var serverLeftOut = loudly(serverNotice)

// postgresBin returns the directory of initdb and postgres; Debian keeps it off the PATH.
func postgresBin() (string, error) {
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			candidates = append([]string{path}, candidates...)
		}
	}
	for _, path := range candidates {
		dir := filepath.Dir(path)
		if _, err := exec.LookPath(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("dbtest: initdb not found")
}

// asPostgres returns a command that runs as another user if we are root, which Postgres refuses to run as.
func asPostgres(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	// The other user may not be allowed to enter the folder in which the test runs.
	cmd.Dir = "/"
	uid, gid, err := postgresUser()
	if err != nil {
		return nil, err
	}
	if uid >= 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, //nolint:gosec // just checked
		}
	}
	return cmd, nil
}

// postgresUser returns the user that runs the servers, or -1 for the user of this process.
func postgresUser() (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return -1, -1, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("dbtest: postgres cannot run as root, and there is no user postgres or nobody: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, err
}

// reachable is TempDir for a server that runs as another user.
func reachable(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { //nolint:gosec // to be passed through, not read
		tb.Fatal(err)
	}
	return dir
}

// template is a data directory of a server that never ran, in memory, because initdb takes much longer than a copy.
type template []templateFile

type templateFile struct {
	path    string // below the data directory
	dir     bool
	content []byte
}

var postgresTemplate = sync.OnceValues(func() (template, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pulpcore-initdb-")
	if err != nil {
		return nil, fmt.Errorf("dbtest: %w", err)
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), own(dir), own(data)); err != nil {
		return nil, fmt.Errorf("dbtest: %w", err)
	}
	// Segments of 1 MiB instead of 16, because the template is kept in memory.
	cmd, err := asPostgres(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync", "--wal-segsize=1")
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("dbtest: initdb: %w\n%s", err, out)
	}
	return pack(data)
})

func pack(data string) (template, error) {
	var files template
	err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		f := templateFile{path: rel, dir: entry.IsDir()}
		if !f.dir {
			f.content, err = os.ReadFile(path)
		}
		files = append(files, f)
		return err
	})
	return files, err
}

func (files template) unpack(data string) error {
	for _, f := range files {
		path := filepath.Join(data, f.path)
		var err error
		if f.dir {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, f.content, 0o600)
		}
		if err = errors.Join(err, own(path)); err != nil {
			return fmt.Errorf("dbtest: %w", err)
		}
	}
	return nil
}

// own gives a file to the user who runs the servers.
func own(path string) error {
	uid, gid, err := postgresUser()
	if err != nil || uid < 0 {
		return err
	}
	return os.Chown(path, uid, gid)
}
