package worker

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/pulpgo/pulpcore/internal/hook"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
)

var taskName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// CheckBindings returns every fault that [New] would find in opts, without a queue. Each names the task and ends
// with the remedy. Opts must not be nil.
func CheckBindings(opts *Options) (faults []error) {
	if dir := opts.WorkDir; dir != "" && !filepath.IsAbs(dir) {
		faults = append(faults, fmt.Errorf("WorkDir %q is not an absolute path; make it one with filepath.Abs", dir))
	}
	seen := map[string]bool{}
	for _, binding := range opts.Bindings {
		b := binding.Function()
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("task %q: "+format, append([]any{b.Name}, args...)...))
		}
		if !taskName.MatchString(b.Name) || len(b.Name) > engine.MaxName {
			fault("the name is not of the form plugin.task in lower case and at most %d bytes; "+
				"change it in tasking.Define", engine.MaxName)
		}
		if seen[b.Name] {
			fault("it is bound twice; leave one binding out")
		}
		seen[b.Name] = true
		switch {
		case !b.Subprocess || opts.IgnoreSubprocess:
		case !subprocess.CanIsolate:
			fault("this system has no Subprocess; set IgnoreSubprocess, or bind the task without it")
		case opts.Command == nil:
			fault("Subprocess needs a command that starts the process; " +
				"set worker.Options.Command, in an App Options.TaskCommand")
		}
		if b.Args != nil {
			for _, err := range hook.Faults(b.Args, reflect.TypeFor[tasking.ResourceUser]()) {
				fault("arguments %s: %w", b.Args.Elem(), err)
			}
		}
	}
	return faults
}
