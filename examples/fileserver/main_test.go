package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/pulpcmd"
)

func writeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{
		"a.txt": "abc", "with space.txt": "x", "sub/ünïcødé.txt": strings.Repeat("long ", 50_000), "sub/empty": "",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDemo(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := runDemo(t.Context(), &out, []string{writeTree(t)}); err != nil {
		t.Fatal(err)
	}
	if want := "demo: 4 files, 250004 bytes, all digests match\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("demo prints %q, want %q at the end", out.String(), want)
	}
}

func TestDemoUsage(t *testing.T) {
	t.Parallel()
	if err := runDemo(t.Context(), &strings.Builder{}, []string{"a", "b"}); !errors.Is(err, pulpcmd.ErrUsage) {
		t.Errorf("demo of two folders = %v, want %v", err, pulpcmd.ErrUsage)
	}
	if err := runDemo(t.Context(), &strings.Builder{}, []string{"no such folder"}); err == nil {
		t.Error("demo of a folder that does not exist succeeds")
	}
}

// TestRolesApart runs API, content app and worker as processes of their own, on Postgres, Redis and S3 where there are
// some, and does the whole job through them.
func TestRolesApart(t *testing.T) {
	t.Parallel()
	s3 := os.Getenv("PULP_TEST_S3_URL")
	if s3 == "" {
		t.Skip("PULP_TEST_S3_URL is not set: the roles are not tested apart")
	}
	bin := filepath.Join(t.TempDir(), "fileserver")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil { //nolint:gosec // our own path
		t.Fatalf("go build: %v\n%s", err, out)
	}
	root := t.TempDir()
	contentAddr := nettest.FreeAddr(t)
	env := append(os.Environ(), "PULP_SETTINGS=", "PULP_DEPLOY_ROOT="+root, "PULP_DATABASE_URL="+dbtest.Postgres(t),
		"PULP_REDIS_URL="+dbtest.RedisURL(t), "PULP_STORAGE_URL="+s3+"&prefix="+filepath.Base(root)+"/",
		"PULP_CONTENT_ORIGIN=http://"+contentAddr, "PULP_WORKERS=2")

	apiAddr := nettest.FreeAddr(t)
	out := start(t, bin, append(env, "PULP_LISTEN="+apiAddr), "api")
	password := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := regexp.MustCompile(`has the password (\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			password = m[1]
			break
		}
	}
	if password == "" {
		t.Fatal("the first start prints no password")
	}
	start(t, bin, append(env, "PULP_LISTEN="+contentAddr), "content")
	start(t, bin, env, "worker")

	b := newBars()
	up, err := openUpstream(t.Context(), writeTree(t), b)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	upstream := httptest.NewServer(up)
	defer upstream.Close()
	c := &client{base: "http://" + apiAddr, username: "admin", password: password, http: &http.Client{}}
	nettest.Await(t, apiAddr)
	nettest.Await(t, contentAddr)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := syncFrom(ctx, c, upstream.URL, b, int64(len(up.entries))); err != nil {
		t.Fatal(err)
	}
	path, err := publishAndDistribute(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := downloadAll(ctx, "http://"+contentAddr+path, up, b); err != nil {
		t.Error(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/tasks/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(c.username, c.password)
	page, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = page.Body.Close(); page.StatusCode != http.StatusOK {
		t.Errorf("the page of tasks = %s", page.Status)
	}
	status, err := c.call(ctx, http.MethodGet, "status/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"online_workers", "online_api_apps", "online_content_apps"} {
		if list, _ := status[kind].([]any); len(list) != 1 {
			t.Errorf("status: %s = %v, want one", kind, status[kind])
		}
	}
}

// start runs a role until the test ends, and returns what it prints.
func start(t *testing.T, bin string, env []string, role string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, role) //nolint:gosec // our own program
	cmd.Env, cmd.Stdout, cmd.Stderr = env, w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("fileserver %s ends with %v", role, err)
		}
		_ = r.Close()
	})
	return r
}
