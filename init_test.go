package pulpcore_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

type greetSettings struct {
	Greeting string
}

var (
	greetSection = settings.Define("greet", greetSettings{Greeting: "hello"})
	greetTask    = tasking.Define[struct{}]("greet.say")
)

// greeter is a plugin whose task sends the setting GREET_GREETING of the task's App to a channel.
func greeter(said chan<- string) *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "greet", Version: "1", Settings: []settings.AnySection{greetSection},
		Tasks: []tasking.Binding{greetTask.Bind(func(_ context.Context, env *tasking.Env, _ struct{}) error {
			said <- greetSection.In(env.DB).Greeting
			return nil
		})},
	}
}

// TestSettingsOfTwoApps gives one plugin value to two Apps: each of its tasks finds the settings of its own App.
func TestSettingsOfTwoApps(t *testing.T) {
	t.Parallel()
	said := make(chan string, 1)
	plugin := greeter(said)
	one := pulptest.New(t, plugin)
	two := pulptest.NewWith(t, []settings.Option{settings.Value("GREET_GREETING", "ahoy")}, plugin)
	for _, tt := range []struct {
		app  *pulptest.App
		want string
	}{{one, "hello"}, {two, "ahoy"}, {one, "hello"}} {
		pulptest.RunTask(t, tt.app, greetTask, struct{}{})
		if got := <-said; got != tt.want || greetSection.In(tt.app).Greeting != tt.want {
			t.Errorf("the task says %q, the App %q, want %q", got, greetSection.In(tt.app).Greeting, tt.want)
		}
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	var calls []string
	plugin := func(name string, fails error) *pulpcore.Plugin {
		return &pulpcore.Plugin{
			Name: name, Version: "1",
			Init: func(ctx context.Context, app *pulpcore.App) (func() error, error) {
				calls = append(calls, "init "+name)
				// The App is complete: it can dispatch and serve.
				if app.DB() == nil || app.Queue() == nil || app.Handler() == nil {
					t.Errorf("%s: the App is not complete", name)
				}
				return func() error {
					calls = append(calls, "end "+name)
					return app.Queue().Ping(context.WithoutCancel(ctx)) // and still works at its end
				}, fails
			},
		}
	}
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(t.Context(), set, plugin("a", nil), plugin("b", nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second Close does nothing
		if err := app.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if want := []string{"init a", "init b", "end b", "end a"}; !slices.Equal(calls, want) {
		t.Errorf("calls = %q, want %q", calls, want)
	}

	calls = nil
	broken := errors.New("broken")
	app, err = pulpcore.Open(t.Context(), set, plugin("a", nil), plugin("b", broken), plugin("c", nil))
	if app != nil || !errors.Is(err, broken) {
		t.Errorf("Open() = %v, %v, want the error of Init", app, err)
	}
	if want := []string{"init a", "init b", "end a"}; !slices.Equal(calls, want) {
		t.Errorf("calls = %q, want %q", calls, want)
	}
}
