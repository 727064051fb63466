package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/tasking"
)

// isolatedDir makes the test binary the process of one task of an App that lives there.
const isolatedDir = "PULP_TEST_ISOLATED_DIR"

var whoami = tasking.Define[string]("iso.whoami")

// isoPlugin has a task that says in which process it runs.
func isoPlugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{Name: "iso", Version: "1", Tasks: []tasking.Binding{
		whoami.BindResult(func(context.Context, *tasking.Env, string) (any, error) { return os.Getpid(), nil }).With(tasking.BindingOptions{Subprocess: true}),
	}}
}

func isolatedCommand(dir string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), isolatedDir+"="+dir)
		return cmd
	}
}

func isolatedProgram(ctx context.Context, dir string) error {
	set, err := quiet(dir)
	if err != nil {
		return err
	}
	app, err := pulpcore.OpenWith(ctx, set, &pulpcore.Options{TaskCommand: isolatedCommand(dir)}, isoPlugin())
	if err != nil {
		return err
	}
	return errors.Join(app.RunIsolated(ctx), app.Close())
}

func TestTaskInAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, err := quiet(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pulpcore.Open(t.Context(), set, isoPlugin()); !errors.Is(err, pulperr.Invalid) ||
		!strings.Contains(fmt.Sprint(err), "iso.whoami") {
		t.Errorf("Open() without TaskCommand = %v, want Invalid, with the task's name", err)
	}
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{TaskCommand: isolatedCommand(dir)}, isoPlugin())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	w, err := app.Worker(1)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := whoami.Dispatch(t.Context(), app.Queue(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	task, err := app.Queue().Get(t.Context(), ticket.TaskID)
	if err != nil || task.State != models.Completed {
		t.Fatalf("task = %+v, %v", task, err)
	}
	if pid := pidOf(t, task); pid == os.Getpid() {
		t.Error("the task ran in this process")
	}
}

func TestPulptestStartsNoProcesses(t *testing.T) {
	t.Parallel()
	task := pulptest.RunTask(t, pulptest.New(t, isoPlugin()), whoami, "")
	if pid := pidOf(t, task); pid != os.Getpid() {
		t.Errorf("the task ran in process %d, want the test's", pid)
	}
}

func pidOf(t *testing.T, task *models.Task) (pid int) {
	t.Helper()
	if err := json.Unmarshal(task.Result, &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}
