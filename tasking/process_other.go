//go:build !unix

package tasking

import (
	"os"
	osexec "os/exec"

	"github.com/pulpgo/pulpcore/pulperr"
)

const canIsolate = false

func ownGroup(*osexec.Cmd) {}

func killGroup(leader *os.Process) error { return leader.Kill() }

func killSelf() { os.Exit(1) }

func deathSignal(*os.ProcessState) int { return 0 }

func inherited() (orders, report *os.File, err error) {
	return nil, nil, pulperr.Public(pulperr.Unsupported, "tasks cannot have processes of their own on this system")
}
