package python_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// pythonEnv names a Python interpreter with pip and twine; "make services" installs one.
const pythonEnv = "PULP_TEST_PYTHON"

var leaveOut = dbtest.LeaveOut("pip and twine", pythonEnv+" is not set: a Python interpreter with both")

// tool runs a program of Python, such as pip, and returns what it has printed. It has no other configuration than its
// arguments.
func tool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	interpreter := os.Getenv(pythonEnv)
	if interpreter == "" {
		leaveOut(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, append([]string{"-m"}, args...)...) //nolint:gosec // the tester's own
	cmd.Env = []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "PIP_CONFIG_FILE=" + os.DevNull, "PIP_NO_INPUT=1",
		"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_CACHE_DIR=1", "PIP_RETRIES=0", "NO_COLOR=1", "TERM=dumb",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// download lets pip fetch packages from the index at a URL, and returns their files by name.
func download(t *testing.T, url string, packages ...string) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"pip", "download", "--no-deps", "--index-url", url, "--dest", dir}, packages...)
	out, err := tool(t, args...)
	if err != nil {
		return nil, fmt.Errorf("pip: %w\n%s", err, out)
	}
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		body, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		files[e.Name()] = string(body)
	}
	return files, nil
}

// index returns the URL for pip, maybe with "user:password@".
func (b *bench) index(credentials string) string {
	return strings.Replace(b.app.URL(), "://", "://"+credentials, 1) + "/pulp/content/main/simple/"
}

// TestPip lets pip download by both policies. What was synced at once is there without upstream.
func TestPip(t *testing.T) {
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				x := serve(t, policy == models.Immediate)
				b.sync(b.remote(x, policy), false)
				if policy == models.Immediate {
					x.close()
				}
				files, err := download(t, b.index(""), "Tiny.Alpha")
				must(t, err)
				if len(files) != 1 || files[alpha11] != x.files[alpha11] {
					t.Errorf("pip has downloaded %d files, want %s", len(files), alpha11)
				}
				b.app.Settle(t)
				x.close()
				files, err = download(t, b.index(""), "tiny_alpha >1.0")
				must(t, err)
				if files[alpha11] != x.files[alpha11] {
					t.Errorf("pip has downloaded %d files without upstream, want %s", len(files), alpha11)
				}
				_, err = download(t, b.index(""), "tiny-alpha==1.0")
				if (err == nil) != (policy == models.Immediate) {
					t.Errorf("pip without upstream and with policy %s ends with %v", policy, err)
				}
			})
		})
	}
}

// TestPipHeedsTheIndex lets pip choose by what the index says about files: yanked ones, and versions of Python.
func TestPipHeedsTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	x := serve(t, false)
	x.yanked[alpha11] = true
	b.sync(b.remote(x, models.OnDemand), false)
	files, err := download(t, b.index(""), "tiny-alpha")
	must(t, err)
	if files[alpha10] == "" || len(files) != 1 {
		t.Errorf("pip has downloaded %d files, want %s, for the other one is yanked", len(files), alpha10)
	}
	_, err = download(t, b.index(""), "--python-version", "3.7", "--only-binary", ":all:", "tiny-alpha")
	if err == nil || !strings.Contains(err.Error(), "Requires-Python >=3.8") && !strings.Contains(err.Error(), ">=3.8") {
		t.Errorf("pip for Python 3.7 ends with %v, want what the package requires", err)
	}
}

// TestPipWithCredentials lets pip pass a guard by the name and the password in its URL.
func TestPipWithCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	b.sync(b.remote(serve(t, false), models.OnDemand), false)
	b.protect("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("pip:secret")))
	b.get("simple/tiny-alpha/", acceptJSON).Want(403)
	for _, credentials := range []string{"", "pip:wrong@"} {
		// Pip takes an index that refuses it for one without the project.
		_, err := download(t, b.index(credentials), "tiny-alpha")
		if err == nil || !strings.Contains(err.Error(), "No matching distribution") {
			t.Errorf("pip with %q ends with %v, want no distribution", credentials, err)
		}
	}
	files, err := download(t, b.index("pip:secret@"), "tiny-alpha")
	must(t, err)
	if files[alpha11] == "" {
		t.Errorf("pip has downloaded %d files, want %s", len(files), alpha11)
	}
}

// TestPipAndTamperedFile serves a file of which upstream has changed the bytes: pip must not get it.
func TestPipAndTamperedFile(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	x := serve(t, false)
	b.sync(b.remote(x, models.OnDemand), false)
	_, other := wheel(t, "tiny-alpha", "9")
	x.change(func() { x.files[alpha11] = other })
	if files, err := download(t, b.index(""), "tiny-alpha"); err == nil {
		t.Errorf("pip has downloaded %d files with wrong bytes", len(files))
	}
}

// TestTwine uploads a wheel and an sdist with twine, and lets pip download the wheel.
func TestTwine(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.app.Start(t)
		must(t, b.app.SetAdminPassword(t.Context(), "secret"))
		dir := t.TempDir()
		name, body := wheel(t, "Own.Wheel", "1.0")
		source, sourceBody := sdist(t, "own-wheel", "1.0")
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, source), []byte(sourceBody), 0o600))
		upload := func(password, file string) error {
			out, err := tool(t, "twine", "upload", "--non-interactive", "--disable-progress-bar", "-u", "admin", "-p", password,
				"--repository-url", b.app.URL()+legacy, filepath.Join(dir, file))
			if err != nil {
				return fmt.Errorf("twine: %w\n%s", err, out)
			}
			return nil
		}
		must(t, upload("secret", name))
		must(t, upload("secret", source))
		b.app.Settle(t)
		files, err := download(t, b.index(""), "own-wheel")
		must(t, err)
		if files[name] != body {
			t.Errorf("pip has downloaded %d files, want what twine has uploaded", len(files))
		}
		if got := b.names(); len(got) != 2 {
			t.Errorf("the repository has %v, want both files", got)
		}
		if err := upload("wrong", name); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("upload with a wrong password ends with %v, want 401", err)
		}
	})
}
