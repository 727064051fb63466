//go:build !unix

package subprocess

import (
	"os"
	osexec "os/exec"

	"github.com/pulpgo/pulpcore/pulperr"
)

const CanIsolate = false

func OwnGroup(*osexec.Cmd) {}

func KillGroup(leader *os.Process) error { return leader.Kill() }

func KillSelf() { os.Exit(1) }

func deathSignal(*os.ProcessState) int { return 0 }

func Inherited() (orders, report *os.File, err error) {
	return nil, nil, pulperr.Public(pulperr.Unsupported, "tasks cannot have processes of their own on this system")
}
