package worker_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// unlocked has a method that is ResourceUser's by its name only.
type unlocked struct{}

func (unlocked) Resources() []tasking.Resource { return nil }

func TestCheckBindingsReportsAllFaults(t *testing.T) {
	t.Parallel()
	bad := tasking.Define[struct{}]("Bad")
	nothing := func(context.Context, *tasking.Env, struct{}) error { return nil }
	var got []string
	for _, err := range worker.CheckBindings(&worker.Options{
		WorkDir: "work",
		Bindings: []tasking.Binding{
			bad.Bind(nothing), bad.Bind(nothing),
			tasking.Define[unlocked]("x.unlocked").Bind(func(context.Context, *tasking.Env, unlocked) error { return nil }).
				With(tasking.BindingOptions{Subprocess: true}),
		},
	}) {
		got = append(got, err.Error())
	}
	const form = `task "Bad": the name is not of the form plugin.task in lower case and at most 255 bytes; ` +
		`change it in tasking.Define`
	want := []string{
		`WorkDir "work" is not an absolute path; make it one with filepath.Abs`,
		form, form,
		`task "Bad": it is bound twice; leave one binding out`,
		`task "x.unlocked": Subprocess needs a command that starts the process; set worker.Options.Command, in an App ` +
			`Options.TaskCommand`,
		`task "x.unlocked": arguments worker_test.unlocked: method Resources() []tasking.Resource is never called, ` +
			`because a tasking.ResourceUser has Resources() tasking.Resources; give it that signature or another name`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CheckBindings (-want +got):\n%s", diff)
	}
}
