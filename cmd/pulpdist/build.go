package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// builder makes one distribution.
type builder struct {
	dist            *distribution
	out             string // absolute
	noPrerequisites bool
	timeout         time.Duration // of each command that is no custom step
	progress        io.Writer
}

// job is one thing that a build does: a command, or else a function.
type job struct {
	title   string
	args    []string
	dir     string // of the command
	timeout time.Duration
	stdout  string // a file for what the command prints, or "" for errors only
	do      func() error
}

// String is a line of a plan.
func (j job) String() string {
	if j.args == nil {
		return j.title
	}
	quoted := make([]string, len(j.args))
	for i, arg := range j.args {
		quoted[i] = fmt.Sprintf("%q", arg)
	}
	return fmt.Sprintf("%s: %s (within %s)", j.title, strings.Join(quoted, " "), j.timeout)
}

// build makes the folder out, or nothing.
func (b *builder) build(ctx context.Context) (err error) {
	if _, err := os.Lstat(b.out); err == nil {
		return fmt.Errorf("%w: %s exists; remove it, or give another folder with --out", pulperr.Conflict, b.out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Beside the result, so that a rename suffices.
	dir, err := os.MkdirTemp(filepath.Dir(b.out), ".pulpdist-")
	if err != nil {
		return fmt.Errorf("make a folder beside %s: %w", b.out, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // nothing is there after the rename
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0o755); err != nil { //nolint:gosec // sources, without secrets
		return err
	}
	for _, j := range b.jobs(dir, src) {
		if _, err := fmt.Fprintln(b.progress, j); err != nil {
			return err
		}
		if err := b.run(ctx, j, dir); err != nil {
			return fmt.Errorf("%s: %w", j.title, err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // to be read by the user of the servers
		return err
	}
	if err := os.Rename(dir, b.out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.progress, "made %s\n", b.out)
	return err
}

// jobs returns all of a build, in order.
func (b *builder) jobs(dir, src string) []job {
	d := b.dist
	binary := filepath.Join(dir, d.Name)
	jobs := b.prerequisites()
	for _, p := range d.Plugins {
		jobs = append(jobs, stepJobs(d.dir, p.Package+": before", p.Before)...)
	}
	jobs = append(jobs, job{
		title: "write src/main.go, src/go.mod and src/settings.yaml", do: func() error { return d.writeSource(src) },
	})
	command := func(title, stdout, where string, args ...string) {
		jobs = append(jobs, job{title: title, args: args, dir: where, timeout: b.timeout, stdout: stdout})
	}
	if versions := d.versions(); len(versions) > 0 {
		command("choose versions", "", src, append([]string{"go", "get"}, versions...)...)
	}
	command("find dependencies", "", src, "go", "mod", "tidy")
	command("compile", "", src, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	command("configuration of nginx", filepath.Join(dir, "nginx.conf"), dir, binary, "proxy", "nginx")
	command("configuration of Apache", filepath.Join(dir, "apache.conf"), dir, binary, "proxy", "apache")
	jobs = append(jobs, job{
		title: "write units of systemd, Containerfile and install.sh", do: func() error { return d.writeInstall(dir) },
	})
	for _, p := range d.Plugins {
		jobs = append(jobs, stepJobs(d.dir, p.Package+": after", p.After)...)
	}
	return jobs
}

// stepJobs returns the jobs of custom steps, which run in the folder dir.
func stepJobs(dir, title string, steps []step) []job {
	var jobs []job
	for i, s := range steps {
		name := s.Name
		if name == "" {
			name = fmt.Sprintf("step %d", i+1)
		}
		timeout := time.Duration(s.Timeout)
		if timeout == 0 {
			timeout = 10 * time.Minute
		}
		jobs = append(jobs, job{title: fmt.Sprintf("%s: %q", title, name), args: s.Run, dir: dir, timeout: timeout})
	}
	return jobs
}

// prerequisites installs the system packages of all plugins with the package manager that this host has.
func (b *builder) prerequisites() []job {
	apt, dnf := b.dist.packages()
	if b.noPrerequisites || len(apt)+len(dnf) == 0 {
		return nil
	}
	j := job{title: "install prerequisites", dir: b.dist.dir, timeout: b.timeout}
	switch {
	case len(apt) > 0 && found("apt-get"):
		j.args = append([]string{"apt-get", "install", "--yes", "--no-install-recommends", "--"}, apt...)
	case len(dnf) > 0 && found("dnf"):
		j.args = append([]string{"dnf", "install", "--assumeyes", "--"}, dnf...)
	default:
		j.do = func() error {
			return fmt.Errorf("%w: no package manager that the plugins name packages for (apt: %d, dnf: %d) is on this host; "+
				"install them by hand, and give --no-prerequisites", pulperr.Unsupported, len(apt), len(dnf))
		}
	}
	return []job{j}
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// maxOutput is how much of a failed command's output an error has, in bytes: the end of it.
const maxOutput = 16 << 10

// run executes a job. An error has the end of the output.
func (b *builder) run(ctx context.Context, j job, dir string) (err error) {
	if j.args == nil {
		return j.do()
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.args[0], j.args[1:]...) //nolint:gosec // what the file says is run
	cmd.Dir = j.dir
	// A workspace around the folder, or a vendor folder, is not meant for the new module.
	cmd.Env = append(os.Environ(), "PULPDIST_DIR="+dir, "GOWORK=off", "GOFLAGS=-mod=mod", "CGO_ENABLED="+b.dist.cgo())
	killWithChildren(cmd)
	cmd.WaitDelay = 5 * time.Second // for a child that has left the group and keeps the output open
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if j.stdout != "" {
		f, failed := os.Create(j.stdout)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		cmd.Stdout = f
		// The settings of this host are not those of the distribution.
		cmd.Env = append(withoutSettings(cmd.Env), "PULP_SETTINGS="+filepath.Join(dir, "src", "settings.yaml"))
	}
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w: it was stopped after its timeout of %s", context.DeadlineExceeded, j.timeout)
	}
	text := output.Bytes()
	if len(text) > maxOutput {
		text = append([]byte("…"), text[len(text)-maxOutput:]...)
	}
	return fmt.Errorf("%q: %w\n%s", j.args[0], err, bytes.TrimSpace(text))
}

func withoutSettings(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "PULP_") {
			kept = append(kept, v)
		}
	}
	return kept
}
