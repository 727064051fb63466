//go:build unix

package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/storage/storagetest"
)

// Some tests need a process of their own: to be killed, to lose its rights, to be limited. They run this binary again
// with envChild naming what it shall do in the folder envDir.
const (
	envChild = "PULP_STORAGE_CHILD"
	envDir   = "PULP_STORAGE_DIR"
)

// child runs as such a process, if this is one, and does not return then.
func child() {
	do, ok := map[string]func(context.Context, string) error{
		"write": writeForEver, "nobody": writeAsNobody, "limited": writeLimited,
	}[os.Getenv(envChild)]
	if !ok {
		return
	}
	if err := do(context.Background(), os.Getenv(envDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func startChild(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+what, envDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

const (
	neverSize  = 1 << 40
	killedSize = 300_000
)

// writeForEver stores artifacts and temporary files of its own, printing the key of each, and beside that writes to an
// artifact that it never commits.
func writeForEver(ctx context.Context, dir string) error {
	s, err := storage.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		expect := storagetest.Expect([]byte("never"))
		*expect.Size = neverSize
		w, err := s.NewArtifactWriter(ctx, expect)
		for chunk := make([]byte, 4096); err == nil; {
			_, err = w.Write(chunk)
		}
	})
	for i := range uint64(4) {
		wg.Go(func() {
			for n := i; ; n += 4 {
				b := storagetest.Bytes(n, killedSize)
				o, err := s.PutArtifact(ctx, bytes.NewReader(b), storagetest.Expect(b))
				temp, err2 := s.PutTemp(ctx, uuid.New(), bytes.NewReader(b), nil)
				if errors.Join(err, err2) != nil {
					return
				}
				fmt.Printf("%s\n%s\n", o.Key, temp.Key)
			}
		})
	}
	wg.Wait()
	return errors.New("a write failed")
}

func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := startChild(t, "write", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for range 20 {
		var key string
		if _, err := fmt.Fscanln(out, &key); err != nil {
			t.Fatalf("the child ended by itself: %v", err)
		}
		keys = append(keys, key)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // "signal: killed"

	s := open(t, dir, nil)
	for _, key := range keys {
		if a, err := s.Stat(t.Context(), key); err != nil || a.Size != killedSize {
			t.Errorf("a committed object is gone: %+v, %v", a, err)
		}
	}
	for a, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Digest(t.Context(), a.Key)
		named := filepath.Dir(a.Key) == "tmp" || a.Key == storage.ArtifactKey(o.Digests.SHA256)
		if err != nil || o.Size != killedSize || !named {
			t.Errorf("a partial object is visible: %+v, %v", o, err)
		}
	}
	if n, err := s.Sweep(t.Context(), -1<<40); n == 0 || err != nil {
		t.Errorf("Sweep = %d, %v, want the killed writes", n, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "spool")); len(left) != 0 || err != nil {
		t.Errorf("the spool holds %v, %v after Sweep", left, err)
	}
}

// writeAsNobody gives up its rights if it has any, and expects to be refused.
func writeAsNobody(ctx context.Context, dir string) error {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	s, err := storage.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	_, put := s.PutArtifact(ctx, bytes.NewReader([]byte("x")), nil)
	_, read := s.Open(ctx, "tmp/secret")
	for what, err := range map[string]error{
		"put": put, "read": read, "delete": s.Delete(ctx, "tmp/secret"), "check": s.Check(ctx),
	} {
		if !errors.Is(err, pulperr.Unavailable) || !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s without permission = %w, want Unavailable and ErrPermission", what, err)
		}
	}
	if err := s.Delete(ctx, "tmp/missing"); err != nil {
		return fmt.Errorf("Delete of a missing object without permission = %w", err)
	}
	return nil
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "storage") //nolint:usetesting // nobody could not come to t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tmp := filepath.Join(dir, "tmp")
	if err := errors.Join(
		os.Mkdir(tmp, 0o755),
		os.WriteFile(filepath.Join(tmp, "secret"), []byte("x"), 0o200),
		os.Chmod(tmp, 0o555),
		os.Chmod(dir, 0o555),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(os.Chmod(dir, 0o700), os.Chmod(tmp, 0o700)) })
	if err := startChild(t, "nobody", dir).Run(); err != nil {
		t.Errorf("child: %v", err)
	}
}

// writeLimited writes more than the process may put into one file.
func writeLimited(ctx context.Context, dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
		return err
	}
	s, err := storage.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	return wantFull(ctx, s)
}

// wantFull writes more to s than fits, and then what fits.
func wantFull(ctx context.Context, s *storage.Store) error {
	_, err := s.PutArtifact(ctx, bytes.NewReader(make([]byte, 3<<20)), nil)
	if !errors.Is(err, pulperr.Unavailable) || pulperr.Message(err) != "the storage is full" {
		return fmt.Errorf("PutArtifact = %w (%q to clients), want Unavailable, full", err, pulperr.Message(err))
	}
	if n, err := s.Sweep(ctx, -1<<40); n != 0 || err != nil {
		return fmt.Errorf("%d files were left, %w", n, err)
	}
	_, err = s.PutArtifact(ctx, bytes.NewReader(make([]byte, 500_000)), nil)
	return err
}

func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	if err := startChild(t, "limited", t.TempDir()).Run(); err != nil {
		t.Errorf("child: %v", err)
	}
}
