//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// customDist is a file that builds in a fraction of a second up to the first failure: more is added to its plugin.
func customDist(more string) string {
	return "name: d\npulpcore: {version: v1.0.0}\nplugins:\n  - module: example.org/p\n    version: v1.0.0\n" + more
}

// buildIn writes a file into dir and builds it there. It fails the test if a failed build leaves anything.
func buildIn(t *testing.T, dir, file string, args ...string) error {
	t.Helper()
	path := filepath.Join(dir, "dist.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), io.Discard, append([]string{"build", path}, args...))
	if err == nil {
		return nil
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*pulpdist*")); len(left) > 0 {
		t.Errorf("a failed build leaves %v", left)
	}
	return err
}

func TestStepFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := buildIn(t, dir, customDist("    before: [{name: web pages, run: [sh, -c, 'echo no node here; exit 3']}]\n"))
	if err == nil || !strings.Contains(err.Error(), `example.org/p: before: "web pages": "sh": exit status 3`) ||
		!strings.Contains(err.Error(), "no node here") {
		t.Errorf("build = %v, want the step, its status and its output", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d")); err == nil {
		t.Error("the folder of the distribution is there")
	}
}

// TestStepHangs has a step with a child, which both wait for ever.
func TestStepHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := buildIn(t, dir, customDist(
		"    before: [{run: [sh, -c, 'sleep 600 & echo $! >child; echo waiting; wait'], timeout: 500ms}]\n"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after its timeout of 500ms") ||
		!strings.Contains(err.Error(), "waiting") {
		t.Errorf("build = %v, want the end of the timeout and the output", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	// A killed process may stay a zombie until its new parent has waited for it.
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the child %d of the step lives on", pid)
		}
	}
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(raw), ") Z ")
}

// TestPrerequisites replaces the package manager.
func TestPrerequisites(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	file := customDist("    prerequisites: {apt: [libfoo-dev, libbar-dev]}\n")
	err := buildIn(t, t.TempDir(), file)
	if !errors.Is(err, pulperr.Unsupported) || !strings.Contains(err.Error(), "--no-prerequisites") {
		t.Errorf("build without a package manager = %v, want Unsupported and the remedy", err)
	}
	script := "#!/bin/sh\necho \"E: Unable to locate $*\"\nexit 100\n"
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	err = buildIn(t, t.TempDir(), file)
	want := "E: Unable to locate install --yes --no-install-recommends -- libbar-dev libfoo-dev"
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "install prerequisites") {
		t.Errorf("build = %v, want %q", err, want)
	}
}

func TestNoNetwork(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	err := buildIn(t, t.TempDir(), customDist(""))
	if err == nil || !strings.Contains(err.Error(), "choose versions") ||
		!strings.Contains(err.Error(), "module lookup disabled by GOPROXY=off") {
		t.Errorf("build = %v, want what the go command says", err)
	}
}

func TestOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := buildIn(t, dir, customDist(""), "--out", dir); !errors.Is(err, pulperr.Conflict) {
		t.Errorf("build into a folder that exists = %v, want Conflict", err)
	}
	file := filepath.Join(dir, "dist.yaml")
	if err := buildIn(t, dir, customDist(""), "--out", filepath.Join(file, "x")); err == nil {
		t.Error("build below a file succeeds")
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "dist.yaml")
	file := customDist("    before: [{name: ui, run: [touch, made]}]\n")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"build", path, "--dry-run"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`before: "ui": "touch" "made" (within 10m0s)`, `"go" "get" "example.org/p@v1.0.0"`, "rename DIR to " + dir + "/d\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan is %s, want %q in it", out.String(), want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("a dry run leaves %v, %v; want the file only", left, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"build"}, {"make", "x"}, {"build", "x", "--nonsense"}, {"build", "x", "--timeout", "-1s"},
	} {
		if err := run(t.Context(), io.Discard, args); !errors.Is(err, errUsage) {
			t.Errorf("run(%q) = %v, want %v", args, err, errUsage)
		}
	}
}
