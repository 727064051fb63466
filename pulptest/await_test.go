package pulptest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
)

// jobs is a resource whose only operation starts tasks.
type jobs struct {
	bun.BaseModel `bun:"table:core_taskgroup,alias:j"`

	ID uuid.UUID `bun:"pulp_id,pk"`
}

type (
	jobsInput struct {
		Sleep string   `json:"sleep" rest:"default=0s"`
		Fail  []string `json:"fail" rest:"required"` // a task for each; "" succeeds
	}
	jobAnswer struct{}
)

var job = tasking.Define[jobArgs]("job.job")

type jobArgs struct {
	Sleep time.Duration
	Fail  []string // the first is the task's own, the others are those of tasks that it dispatches
}

// jobPlugin has tasks that take their time, fail, and dispatch others.
func jobPlugin() *pulpcore.Plugin {
	start := func(ctx context.Context, r *rest.Request[jobs], in *jobsInput) (*rest.AcceptedGroup, error) {
		sleep, err := time.ParseDuration(in.Sleep)
		if err != nil {
			return nil, err
		}
		g, err := r.Queue.NewGroup(ctx, "jobs")
		if err != nil {
			return nil, err
		}
		_, err = job.Dispatch(ctx, r.Queue, jobArgs{sleep, in.Fail}, &tasking.DispatchOptions{Group: g})
		return r.AcceptGroup(g), err
	}
	return &pulpcore.Plugin{
		Name: "job", Version: "1",
		Views: []rest.View{rest.Resource[jobs, jobAnswer]{
			Path: "jobs/", Class: "Jobs", Alias: "j",
			Render:  func(context.Context, *rest.Request[jobs], []*jobs) ([]jobAnswer, error) { return nil, nil },
			Actions: []rest.Action[jobs]{rest.Do(rest.Operation{Name: "start", Collection: true}, start)},
		}},
		Tasks: []tasking.Binding{job.Bind(runJob)},
	}
}

func runJob(ctx context.Context, env *tasking.Env, args jobArgs) error {
	timer := time.NewTimer(args.Sleep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if len(args.Fail) > 1 {
		next := jobArgs{args.Sleep, args.Fail[1:]}
		if _, err := job.Dispatch(ctx, env.Queue, next, &tasking.DispatchOptions{Group: env.Group}); err != nil {
			return err
		}
	} else if err := env.Group.Finish(ctx); err != nil {
		return err
	}
	if args.Fail[0] == "" {
		return nil
	}
	return pulperr.Public(pulperr.Invalid, "%s", args.Fail[0])
}

func TestAwaitWithoutAWorker(t *testing.T) { testAwait(t, func(testing.TB, *pulptest.App) {}) }

func TestAwaitWithAWorker(t *testing.T) {
	testAwait(t, func(t testing.TB, app *pulptest.App) {
		t.Helper()
		app.Start(t)
	})
}

// testAwait follows tasks and groups.
func testAwait(t *testing.T, start func(testing.TB, *pulptest.App)) {
	t.Helper()
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		start(t, app)
		res := app.Do(t, "POST", apiRoot+"jobs/start/", pulptest.JSON(map[string]any{"fail": []string{"", "", ""}}))
		if o := app.Await(t, res); len(o.Tasks) != 3 || len(o.Created) != 0 || o.Tasks[2].State != models.Completed {
			t.Errorf("Await of a group = %+v, want three completed tasks", o)
		}
		res = app.Do(t, "POST", apiRoot+"jobs/start/", pulptest.JSON(map[string]any{"fail": []string{"bad luck", ""}}))
		o, err := app.TryAwait(t, res)
		if err == nil || !strings.Contains(err.Error(), "bad luck") || len(o.Tasks) != 2 {
			t.Errorf("TryAwait = %v, %v, want two tasks, one of which has bad luck", o.Tasks, err)
		}
		repo := app.Do(t, "POST", repositories, pulptest.JSON(map[string]any{"name": "r"})).Want(http.StatusCreated).Href()
		href := app.Await(t, app.Do(t, "POST", apiRoot+"distributions/file/file/",
			pulptest.JSON(map[string]any{"name": "d", "base_path": "d", "repository": repo}))).Resource()
		app.Do(t, "GET", href).Want(http.StatusOK)
		if task := pulptest.RunTask(t, app, fails, ""); task.State != models.Completed {
			t.Errorf("RunTask = %s", task.State)
		}
		app.Settle(t)
		if words := fatal(t, func(t testing.TB) { app.Await(t, res) }); !strings.HasSuffix(words, "bad luck\n") {
			t.Errorf("Await of a failure ends with %q", words)
		}
	}, jobPlugin(), file.Plugin(), plugin())
}

// TestSettle looks for a file in the store that a client has got.
func TestSettle(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	up := pulptest.NewUpstream(t, pulptest.Files(t, "PULP_MANIFEST", "a,"+sumABC+",3\n", "a", "abc"))
	remote := app.Do(t, "POST", apiRoot+"remotes/file/file/",
		pulptest.JSON(map[string]any{"name": "up", "url": up.URL + "/PULP_MANIFEST", "policy": "on_demand"})).Href()
	repo := app.Do(t, "POST", repositories,
		pulptest.JSON(map[string]any{"name": "r", "remote": remote, "autopublish": true})).Href()
	app.Await(t, app.Do(t, "POST", apiRoot+"distributions/file/file/",
		pulptest.JSON(map[string]any{"name": "d", "base_path": "d", "repository": repo})))
	app.Do(t, "POST", repo+"sync/", pulptest.JSON(map[string]any{})).Want(http.StatusAccepted)
	app.Settle(t)

	for range 2 {
		if res := app.Do(t, "GET", "/pulp/content/d/a", pulptest.AsNobody).Want(http.StatusOK); res.Body != "abc" {
			t.Errorf("GET a = %q, want abc", res.Body)
		}
		app.Settle(t)
	}
	if n := up.Count("a"); n != 1 {
		t.Errorf("the upstream was asked %d times, want once", n)
	}
	var stored struct{ Count int }
	app.Do(t, "GET", apiRoot+"artifacts/?sha256="+sumABC).JSON(&stored)
	if stored.Count != 1 {
		t.Errorf("%d artifacts are stored, want 1", stored.Count)
	}
}

// sumABC is the sha256 of "abc".
const sumABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

// TestVirtualTime runs tasks that take a minute each.
func TestVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := pulptest.New(t, jobPlugin())
		app.Start(t)
		began := time.Now()
		app.Await(t, app.Do(t, "POST", apiRoot+"jobs/start/",
			pulptest.JSON(map[string]any{"sleep": "1m", "fail": []string{"", ""}})))
		if took := time.Since(began); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("two tasks of a minute took %v", took)
		}
		app.Settle(t)
	})
}

// TestParallelSubtestsShareAnApp has requests and tasks side by side.
func TestParallelSubtestsShareAnApp(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, jobPlugin())
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			app.Await(t, app.Do(t, "POST", apiRoot+"jobs/start/", pulptest.JSON(map[string]any{"fail": []string{"", ""}})))
		})
	}
	running.Wait()
	if _, err := app.Queue().Get(t.Context(), uuid.New()); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Get of no task = %v", err)
	}
}
