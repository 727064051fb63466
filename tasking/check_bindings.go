package tasking

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/pulpgo/pulpcore/internal/hook"
)

var taskName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// CheckBindings returns every fault that [NewWorker] would find in opts, without a queue. Each names the task and ends
// with the remedy. Opts must not be nil.
func CheckBindings(opts *WorkerOptions) (faults []error) {
	if dir := opts.WorkDir; dir != "" && !filepath.IsAbs(dir) {
		faults = append(faults, fmt.Errorf("WorkDir %q is not an absolute path; make it one with filepath.Abs", dir))
	}
	seen := map[string]bool{}
	for _, b := range opts.Bindings {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("task %q: "+format, append([]any{b.name}, args...)...))
		}
		if !taskName.MatchString(b.name) || len(b.name) > maxName {
			fault("the name is not of the form plugin.task in lower case and at most %d bytes; "+
				"change it in tasking.Define", maxName)
		}
		if seen[b.name] {
			fault("it is bound twice; leave one binding out")
		}
		seen[b.name] = true
		if b.fault != nil {
			fault("%w", b.fault)
		}
		switch {
		case !b.opts.Subprocess || opts.IgnoreSubprocess:
		case !canIsolate:
			fault("this system has no Subprocess; set IgnoreSubprocess, or bind the task without it")
		case opts.Command == nil:
			fault("Subprocess needs a command that starts the process; set WorkerOptions.Command, in an App Options.TaskCommand")
		}
		if b.args != nil {
			for _, err := range hook.Faults(b.args, reflect.TypeFor[ResourceUser]()) {
				fault("arguments %s: %w", b.args.Elem(), err)
			}
		}
	}
	return faults
}
