//go:build unix

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/nettest"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// TestTutorial runs the commands of docs/tutorial.md, as a reader does, in one shell.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles a server")
	}
	for _, program := range []string{"bash", "curl", "make", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			dbtest.LeaveOut("the tutorial", program+" not found")(t)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, block := range shellBlock.FindAllSubmatch(text, -1) {
		script += string(block[1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PULP_LISTEN="+nettest.FreeAddr(t), "TMPDIR="+t.TempDir())
	// The server of the tutorial ends with its shell, also if that fails halfway.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, 10*time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	_ = kill() // there is nothing left if the script came to its end
	if err != nil || !strings.HasSuffix(out.String(), "\nhello\n") {
		t.Errorf("the tutorial = %v, want hello at its end:\n%s", err, out.String())
	}
}
