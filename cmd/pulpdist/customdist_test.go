//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/settings"
)

const quoting = "a'b\"c`d$(touch x)\\;\n# & {{.}} é"

// TestSettingsAreData follows a hostile value from the file into the program.
func TestSettingsAreData(t *testing.T) {
	t.Parallel()
	value, err := json.Marshal(quoting)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse([]byte(customDist("    settings: {SECRET_KEY: " + string(value) + "}\n")))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := d.writeSource(dir); err != nil {
		t.Fatal(err)
	}
	set, err := settings.Load(settings.File(filepath.Join(dir, "settings.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Core().SecretKey.Reveal(); got != quoting {
		t.Errorf("SECRET_KEY = %q, want %q", got, quoting)
	}
}

// TestCustomDist builds a server with one plugin, and then examples/customdist over it. All builds of the package are
// here: each of them links a binary of 50 MB.
func TestCustomDist(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles two servers")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := fmt.Sprintf("name: customdist\npulpcore: {path: %q}\nplugins:\n  - module: %s\n    package: %s\n",
		root, core, core+"/examples/fileserver/file")
	err = buildIn(t, dir, first+"    function: Missing\n", "--out", filepath.Join(dir, "broken"))
	if err == nil || !strings.Contains(err.Error(), "compile: ") ||
		!strings.Contains(err.Error(), "undefined: plugin0.Missing") {
		t.Fatalf("build of a function that does not exist = %v, want what the compiler says", err)
	}
	after := "    after: [{run: [sh, -c, 'test -x \"$PULPDIST_DIR/customdist\"']}]\n"
	if err := buildIn(t, dir, first+after, "--out", filepath.Join(dir, "one")); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/PULP_MANIFEST" {
			_, _ = fmt.Fprintf(w, "a.txt,%x,3\n", sha256.Sum256([]byte("abc")))
			return
		}
		_, _ = io.WriteString(w, "abc")
	}))
	defer upstream.Close()
	data := t.TempDir()

	s := startServer(t, filepath.Join(dir, "one", "customdist"), data, "")
	remote := s.call(t, http.MethodPost, "remotes/file/file/",
		map[string]any{"name": "r", "url": upstream.URL + "/PULP_MANIFEST"})
	repo := s.call(t, http.MethodPost, "repositories/file/file/",
		map[string]any{"name": "r", "remote": remote["pulp_href"], "autopublish": true})
	s.wait(t, s.call(t, http.MethodPost, fmt.Sprint(repo["pulp_href"])+"sync/", map[string]any{}))
	s.wait(t, s.call(t, http.MethodPost, "distributions/file/file/",
		map[string]any{"name": "r", "base_path": "r", "repository": repo["pulp_href"]}))
	s.download(t)
	s.stop(t)

	err = run(t.Context(), io.Discard,
		[]string{"build", filepath.Join(root, "examples/customdist/dist.yaml"), "--out", filepath.Join(dir, "two")})
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t, filepath.Join(dir, "two", "customdist"), data, s.password)
	s.download(t)
	s.call(t, http.MethodPost, "contentguards/certguard/x509/", map[string]any{"name": "g", "ca_certificate": testCA(t)})
	s.stop(t)
	checkInstall(t, filepath.Join(dir, "two"))
}

// checkInstall installs below a folder twice.
func checkInstall(t *testing.T, dir string) {
	t.Helper()
	target := t.TempDir()
	for range 2 {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "install.sh")) //nolint:gosec // what the test has made
		cmd.Env = append(os.Environ(), "DESTDIR="+target)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("install.sh: %v\n%s", err, out)
		}
	}
	for _, name := range []string{
		"usr/local/bin/customdist", "etc/systemd/system/customdist-worker.service", "etc/customdist/nginx.conf",
	} {
		if _, err := os.Stat(filepath.Join(target, name)); err != nil {
			t.Error(err)
		}
	}
	dry := exec.CommandContext(t.Context(), filepath.Join(dir, "install.sh"), "--dry-run") //nolint:gosec // as above
	out, err := dry.CombinedOutput()
	if err != nil {
		t.Fatalf("install.sh --dry-run: %v\n%s", err, out)
	}
	want := "+ systemctl daemon-reload\n"
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		want = "systemd does not run here."
	}
	if !strings.Contains(string(out), want) {
		t.Errorf("install.sh --dry-run prints %s, want %q", out, want)
	}
	conf, err := os.ReadFile(filepath.Join(dir, "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server 127.0.0.1:24817;", "server 127.0.0.1:24816;"} {
		if !strings.Contains(string(conf), want) {
			t.Errorf("nginx.conf lacks %q:\n%s", want, conf)
		}
	}
}

// server is a binary that runs.
type server struct {
	cmd            *exec.Cmd
	addr, password string
}

// startServer migrates and starts. A password of "" is read from the output.
func startServer(t *testing.T, bin, data, password string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String(), password: password}
	_ = l.Close()
	env := append(withoutSettings(os.Environ()), "PULP_DEPLOY_ROOT="+data, "PULP_LISTEN="+s.addr,
		`PULP_LOGGING={"root": {"level": "ERROR"}}`)
	migrate := exec.CommandContext(t.Context(), bin, "migrate") //nolint:gosec // what the test has made
	migrate.Env = env
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	s.cmd = exec.CommandContext(t.Context(), bin) //nolint:gosec // what the test has made
	s.cmd.Env, s.cmd.Stderr = env, os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	if password == "" {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(line)
		s.password = fields[len(fields)-1]
	}
	s.poll(t, func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return s
}

// poll returns when done does, or fails the test after a minute.
func (s *server) poll(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the server is not there, or its task does not end, within a minute")
		}
	}
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

func (s *server) call(t *testing.T, method, path string, body map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/pulp/api/v3/" + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", s.password)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s = %s, %v, %v", method, path, res.Status, answer, err)
	}
	return answer
}

// wait returns when a task has completed.
func (s *server) wait(t *testing.T, task map[string]any) {
	t.Helper()
	href := fmt.Sprint(task["task"])
	s.poll(t, func() bool {
		task = s.call(t, http.MethodGet, href, nil)
		if task["state"] == "failed" {
			t.Fatalf("task = %v", task)
		}
		return task["state"] == "completed"
	})
}

func (s *server) download(t *testing.T) {
	t.Helper()
	res, err := http.Get("http://" + s.addr + "/pulp/content/r/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "abc" {
		t.Errorf("a.txt = %s, %q, %v; want abc", res.Status, body, err)
	}
}

// testCA returns the certificate of an authority in PEM.
func testCA(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}
