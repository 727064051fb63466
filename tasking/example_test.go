package tasking_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// CopyArgs are the arguments of the task Copy.
type CopyArgs struct {
	From, To string
}

// Resources makes copies to one place wait for each other, while any number of them may read from the same one.
func (a CopyArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.To), Shared: tasking.Named(a.From)}
}

// Copy is known by name before its function exists.
var Copy = tasking.Define[CopyArgs]("example.copy")

// list yields the files of a place.
func list(place string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		_ = yield(place+"/1", nil) && yield(place+"/2", nil)
	}
}

func copyFile(name, to string) error { return nil }

func copyFiles(ctx context.Context, env *tasking.Env, a CopyArgs) error {
	err := env.Progress(ctx, "Copying", "example.copying", func(p *tasking.Progress) error {
		p.SetTotal(2)
		for name, err := range tasking.Count(p, list(a.From)) {
			if err != nil {
				return err
			}
			if err := copyFile(name, a.To); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println("copied", a.From, "to", a.To)
	return env.Group.Progress("example.copies").Add(ctx, 1)
}

func Example() {
	if err := withQueue(nil, copyTwice); err != nil {
		fmt.Println(err)
	}
	// Output:
	// copied a to b
	// copied b to c
	// completed 2 of 2
}

// withQueue calls fn with a queue on a new database.
func withQueue(opts *tasking.QueueOptions, fn func(ctx context.Context, q *tasking.Queue) error) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := models.OpenDB(ctx, "sqlite:"+filepath.Join(dir, "pulp.db"), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := models.Migrate(ctx, db); err != nil {
		return err
	}
	if db, err = db.InDomain(ctx, models.DefaultDomain); err != nil {
		return err
	}
	q, err := tasking.NewQueue(db, opts)
	if err != nil {
		return err
	}
	defer q.Close()
	return fn(ctx, q)
}

func copyTwice(ctx context.Context, q *tasking.Queue) error {
	w, err := worker.New(q, &worker.Options{Bindings: []tasking.Binding{Copy.Bind(copyFiles)}})
	if err != nil {
		return err
	}
	members, err := q.NewGroup(ctx, "Copies", group.Report{Code: "example.copies", Total: 2})
	if err != nil {
		return err
	}
	for _, args := range []CopyArgs{{"a", "b"}, {"b", "c"}} {
		if _, err := Copy.Dispatch(ctx, q, args, &tasking.DispatchOptions{Group: members}); err != nil {
			return err
		}
	}
	if err := w.RunPending(ctx); err != nil { // a server calls w.Run instead, in a goroutine
		return err
	}
	counts, err := members.Counts(ctx)
	if err != nil {
		return err
	}
	reports, err := members.Reports(ctx)
	if err != nil {
		return err
	}
	fmt.Println(models.Completed, counts[models.Completed], "of", reports[0].Done)
	return nil
}

// greetOnce dispatches a task and executes it.
func greetOnce(opts *tasking.QueueOptions) error {
	return withQueue(opts, func(ctx context.Context, q *tasking.Queue) error {
		greet := tasking.Define[string]("example.greet")
		if _, err := greet.Dispatch(ctx, q, "world", nil); err != nil {
			return err
		}
		w, err := worker.New(q, &worker.Options{Bindings: []tasking.Binding{greet.Bind(
			func(context.Context, *tasking.Env, string) error { return nil })}})
		if err != nil {
			return err
		}
		return w.RunPending(ctx)
	})
}

// Follow a task from its dispatch to its end. The subscription comes first, so that nothing is missed.
func ExampleQueue_Subscribe() {
	follow := func(ctx context.Context, q *tasking.Queue) error {
		events := q.Subscribe()
		defer events.Close()
		ticket, err := Copy.Dispatch(ctx, q, CopyArgs{"a", "b"}, nil)
		if err != nil {
			return err
		}
		for e := range events.All(ctx) {
			switch {
			case e.Kind == event.Lost: // they are hints: the database knows
				task, err := q.Get(ctx, ticket.TaskID)
				if err != nil || task.State.Final() {
					return err
				}
			case e.TaskID != ticket.TaskID:
			case e.Kind == event.ProgressChanged:
				fmt.Println(e.Progress.Message, e.Progress.Done)
			case e.State.Final():
				fmt.Println(e.Name, e.State)
				return nil
			}
		}
		return context.Cause(ctx)
	}
	_ = follow
}
