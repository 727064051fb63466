package worker

import (
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
)

// Causes of a task's end that only the engine tells apart.
var (
	ErrFenced           = engine.ErrFenced
	ErrImmediateTimeout = engine.ErrImmediateTimeout
)

// CauseInProcess is what a cause becomes on its way to a task's process.
func CauseInProcess(cause error) error { return subprocess.OrderOf(cause).Cause() }
