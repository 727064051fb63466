package pulptest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type unit struct {
	models.Content
	Name string `json:"name" pulp:"natural"`
}

var (
	units = models.Define[unit]("tiny.unit")
	fails = tasking.Define[string]("tiny.fail")
)

func plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "tiny", Version: "1", Models: []models.AnyType{units},
		Tasks: []tasking.Binding{fails.Bind(func(_ context.Context, _ *tasking.Env, words string) error {
			if words == "" {
				return nil
			}
			return pulperr.Public(pulperr.Invalid, "%s", words)
		})},
	}
}

func TestATaskThatFailsTellsWhy(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, plugin())
	if task := pulptest.RunTask(t, app, fails, ""); task.State != models.Completed {
		t.Errorf("RunTask = %s, want completed", task.State)
	}
	task, err := pulptest.TryTask(t, app, fails, "out of luck")
	if err == nil || err.Error() != "out of luck" || task.State != models.Failed {
		t.Errorf("TryTask = %s, %v, want failed, out of luck", task.State, err)
	}
}

func TestServersAnswer(t *testing.T) {
	t.Parallel()
	app := pulptest.NewWith(t, []settings.Option{settings.Value("CONTENT_PATH_PREFIX", "/here/")}, plugin())
	for path, want := range map[string]int{
		"/pulp/api/v3/status/": http.StatusOK, "/here/": http.StatusOK, "/here/nothing": http.StatusNotFound,
		"/pulp/api/v3/tasks/": http.StatusUnauthorized,
	} {
		if status, _ := app.Get(t, path); status != want {
			t.Errorf("GET %s = %d, want %d", path, status, want)
		}
	}
	upstream := pulptest.Serve(t, "a b", "c")
	res, err := http.Get(upstream + "/a%20b")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(upstream, "http://127.0.0.1:") {
		t.Errorf("GET from %s = %d, want 200 from the loopback interface", upstream, res.StatusCode)
	}
}

func TestCollectReturnsWhatAStagePuts(t *testing.T) {
	t.Parallel()
	got := pulptest.Collect(t, stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
		return errors.Join(
			out.Put(ctx, &stages.DeclarativeContent{Content: &unit{Name: "a"}}),
			out.Put(ctx, &stages.DeclarativeContent{Content: &unit{Name: "b"}}))
	}))
	if len(got) != 2 || got[1].Content.(*unit).Name != "b" {
		t.Errorf("Collect = %v, want units a and b", got)
	}
}
