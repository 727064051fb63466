package pulpcore_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

type (
	claimSettings struct {
		Limit int `setting:"CLAIMED_LIMIT"`
	}
	claimUnit struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	claimNote struct {
		Text string `json:"text"`
	}
)

// TestClaimsOfTwoPlugins gives two plugins one name of each kind. Open names both.
func TestClaimsOfTwoPlugins(t *testing.T) {
	t.Parallel()
	ok := http.NotFoundHandler()
	task := tasking.Define[struct{}]("a.work")
	bound := []tasking.Binding{task.Bind(func(context.Context, *tasking.Env, struct{}) error { return nil })}
	units := models.Define[claimUnit]("a.unit")
	notes := rest.Resource[models.Artifact, claimNote]{
		Path: "notes/", Class: "Note", Alias: "n",
		Render: func(context.Context, *rest.Request[models.Artifact], []*models.Artifact) ([]claimNote, error) {
			return nil, nil
		},
	}
	for _, tt := range []struct {
		name string
		edit func(p *pulpcore.Plugin)
		want string // the fault of plugin "b"
	}{
		{
			"a task", func(p *pulpcore.Plugin) { p.Tasks = bound },
			`plugin "b": task "a.work": it is bound by plugin "a" already; bind it in one of them`,
		},
		{
			"a type", func(p *pulpcore.Plugin) { p.Models = []models.AnyType{units} },
			`plugin "b": type "a.unit": the name does not start with the plugin's name; change it in models.Define to "b.…"`,
		},
		{"a setting", func(p *pulpcore.Plugin) {
			p.Settings = []settings.AnySection{settings.Define(p.Name, claimSettings{})}
		}, `plugin "b": CLAIMED_LIMIT is a setting of "a" already; name another key by the tag setting:"KEY"`},
		{
			"a route", func(p *pulpcore.Plugin) { p.API = []rest.Route{{Pattern: "/claimed/", Handler: ok}} },
			`plugin "b": route "/claimed/": pattern "/claimed/" conflicts with pattern "/claimed/" of plugin "a": `,
		},
		{
			"a content route", func(p *pulpcore.Plugin) { p.Content = []content.Route{{Pattern: "/claimed/", Handler: ok}} },
			`plugin "b": content route "/claimed/": pattern "/claimed/" conflicts with pattern "/claimed/" of plugin "a": `,
		},
		{"a route of the API and a content route", func(p *pulpcore.Plugin) {
			if p.Name == "a" {
				p.API = []rest.Route{{Pattern: "/claimed/", Handler: ok}}
			} else {
				p.Content = []content.Route{{Pattern: "/claimed/", Handler: ok}}
			}
		}, `plugin "b": content route "/claimed/": pattern "/claimed/" conflicts with pattern "/claimed/" of plugin "a": `},
		{
			"a resource", func(p *pulpcore.Plugin) { p.Views = []rest.View{notes} },
			`plugin "b": GET /pulp/api/v3/notes/ is served by plugin "a" already; rename one of the views or actions`,
		},
		{
			"a log handler", func(p *pulpcore.Plugin) { p.LogHandlers = map[string]slog.Handler{"x": slog.DiscardHandler} },
			`plugin "b": the log handler "x" is registered by plugin "a" already; rename one of them`,
		},
		{"a name", func(p *pulpcore.Plugin) { p.Name = "same" }, `plugin "same": it is given twice; leave one out, or rename it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set, err := quiet(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			one, two := &pulpcore.Plugin{Name: "a", Version: "1"}, &pulpcore.Plugin{Name: "b", Version: "1"}
			tt.edit(one)
			tt.edit(two)
			app, err := pulpcore.Open(t.Context(), set, one, two)
			if app != nil || !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want %s", err, tt.want)
			}
		})
	}
}
