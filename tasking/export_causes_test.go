package tasking

// Causes of a task's end that only the engine tells apart.
var (
	ErrFenced           = errFenced
	ErrImmediateTimeout = errTimeout
)

// CauseInProcess is what a cause becomes on its way to a task's process.
func CauseInProcess(cause error) error { return orderOf(cause).cause() }
