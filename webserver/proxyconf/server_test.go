//go:build linux

package proxyconf_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// clientAddress is the address of all clients. It is not one of a trusted proxy.
const clientAddress = "127.0.0.9"

// program is an installed server.
type program struct {
	kind proxyconf.Server
	path string
}

// find returns an installed server. Without one it skips the test, loudly; with PULP_TEST_STRICT=1 the test fails.
func find(t *testing.T, kind proxyconf.Server) *program {
	t.Helper()
	names := map[proxyconf.Server][]string{
		// Debian and Fedora keep servers off the PATH of ordinary users.
		proxyconf.Nginx: {"nginx", "/usr/sbin/nginx"}, proxyconf.Apache: {"apache2", "httpd", "/usr/sbin/apache2", "/usr/sbin/httpd"},
	}[kind]
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return &program{kind, path}
		}
	}
	dbtest.LeaveOut(fmt.Sprintf("the configurations of %s", kind), names[0]+" is not installed")(t)
	return nil
}

// each runs fn as a subtest for each server.
func each(t *testing.T, fn func(t *testing.T, p *program)) {
	t.Helper()
	for _, kind := range []proxyconf.Server{proxyconf.Nginx, proxyconf.Apache} {
		t.Run(string(kind), func(t *testing.T) { fn(t, find(t, kind)) })
	}
}

// modules returns the folder of Apache's modules, which distributions keep in different places.
func modules() string {
	for _, dir := range []string{"/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"} {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return ""
}

// credential is the account that the servers run as if the test runs as root, as which Apache refuses to run.
func credential(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// folder returns a folder that the servers may write to.
func folder(t *testing.T) string {
	t.Helper()
	// The folder of t.TempDir lies in one that only the user of the test may enter.
	dir, err := os.MkdirTemp("", "proxyconf-") //nolint:usetesting // see above
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	if c := credential(t); c != nil {
		must(t, os.Chown(dir, int(c.Uid), int(c.Gid)))
	}
	return dir
}

// command returns a command that runs the server as an ordinary user.
func (p *program) command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"-f", filepath.Join(dir, "conf")}, args...)
	if p.kind == proxyconf.Nginx {
		args[0] = "-c"
	}
	cmd := exec.Command(p.path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential(t)}
	return cmd
}

// accepts has the server check a configuration, as "nginx -t" and "apachectl configtest" do.
func (p *program) accepts(t *testing.T, dir, text string) error {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(text), 0o644)) //nolint:gosec // the server's user reads it
	out, err := p.command(t, dir, "-t").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// proxy is a running server.
type proxy struct {
	*program

	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	base string // scheme, host and port
	host string
}

// start runs a server with a configuration until the test ends. make is given the address to listen on.
func (p *program) start(t *testing.T, dir string, encrypted bool, render func(listen string) string) *proxy {
	t.Helper()
	x := &proxy{program: p, t: t, dir: dir}
	var out bytes.Buffer
	for range 5 { // another process may take the port between its choice and its use
		x.host = freeAddress(t)
		must(t, p.accepts(t, dir, render(x.host)))
		out.Reset()
		x.cmd = p.command(t, dir, "-DFOREGROUND")
		if p.kind == proxyconf.Nginx {
			x.cmd = p.command(t, dir, "-g", "daemon off;")
		}
		x.cmd.Stdout, x.cmd.Stderr = &out, &out
		must(t, x.cmd.Start())
		if x.listening() {
			break
		}
		x.stop()
	}
	if x.cmd == nil {
		t.Fatalf("%s does not start: %s %s", p.kind, out.String(), x.log())
	}
	t.Cleanup(x.stop)
	x.base = "http://" + x.host
	if encrypted {
		x.base = "https://" + x.host
	}
	return x
}

// freeAddress returns an address of the loopback interface that is free at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

// listening waits until the server accepts connections.
func (x *proxy) listening() bool {
	ctx, cancel := context.WithTimeout(x.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", x.host); err == nil {
			must(x.t, conn.Close())
			return x.cmd.ProcessState == nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// stop ends the server with all its processes.
func (x *proxy) stop() {
	if x.cmd == nil {
		return
	}
	_ = x.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGKILL) })
	_ = x.cmd.Wait() // ended by a signal, so its status says nothing
	kill.Stop()
	x.cmd = nil
	if x.t.Failed() {
		x.t.Logf("log of %s:\n%s", x.kind, x.log())
	}
}

// log returns the end of the server's log of errors.
func (x *proxy) log() string {
	raw, _ := os.ReadFile(filepath.Join(x.dir, "error.log"))
	return string(raw[max(0, len(raw)-4000):])
}

// client returns a client at clientAddress, which owns the certificates.
func (x *proxy) client(own ...tls.Certificate) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddress)}}
	transport := &http.Transport{
		DialContext: dialer.DialContext, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: own}, //nolint:gosec // the test's own server
	}
	x.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// memory returns the most memory, in bytes, that one of the server's processes has had.
func (x *proxy) memory() (most int64) {
	x.t.Helper()
	for pid := range x.processes() {
		raw, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(raw)) {
			if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				must(x.t, err)
				most = max(most, kib<<10)
			}
		}
	}
	if most == 0 {
		x.t.Error("no process of the server is found")
	}
	return most
}

// processes returns the numbers of the server's processes, which are one group.
func (x *proxy) processes() map[string]bool {
	found := map[string]bool{}
	entries, err := os.ReadDir("/proc")
	must(x.t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err == nil && group == x.cmd.Process.Pid {
			found[e.Name()] = true
		}
	}
	return found
}

// files returns the bytes in temporary files of the server, without its logs.
func (x *proxy) files() (size int64) {
	must(x.t, filepath.WalkDir(x.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".log") {
			return nil //nolint:nilerr // a temporary file that is gone has no size
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	}))
	return size
}
