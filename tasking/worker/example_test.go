package worker_test

import (
	"context"
	"os"
	"os/exec"

	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// ConvertArgs are the arguments of the task Convert.
type ConvertArgs struct{ From, To string }

// Convert runs a program that may crash or hang, so it gets a process of its own.
var Convert = tasking.Define[ConvertArgs]("example.convert")

func convert(ctx context.Context, env *tasking.Env, a ConvertArgs) error {
	out, err := env.CreateTemp("converted")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd, err := env.Command(ctx, "convert", a.From, a.To) // in the work directory, ends with ctx
	if err != nil {
		return err
	}
	cmd.Stdout = out
	return cmd.Run()
}

// A worker that executes a task in processes, and the program that such a process is.
func ExampleWorker_RunIsolated() {
	serve := func(ctx context.Context, q *tasking.Queue, args []string) error {
		w, err := worker.New(q, &worker.Options{
			Bindings: []tasking.Binding{Convert.Bind(convert).With(tasking.BindingOptions{Subprocess: true})},
			WorkDir:  "/var/lib/example/tmp",
			Command:  func() *exec.Cmd { return exec.Command(os.Args[0], "task") },
		})
		if err != nil {
			return err
		}
		if len(args) == 1 && args[0] == "task" {
			return w.RunIsolated(ctx)
		}
		return w.Run(ctx)
	}
	_ = serve
}
