package pulpcore_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
)

// TestHandlersEndWithTheirClient has routes and an action wait for the end of their context, and clients that leave.
func TestHandlersEndWithTheirClient(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan string), make(chan string)
	wait := func(ctx context.Context, what string) error {
		begun <- what
		<-ctx.Done()
		ended <- what
		return context.Cause(ctx)
	}
	handler := func(what string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = wait(r.Context(), what) })
	}
	app := pulptest.New(t, &pulpcore.Plugin{
		Name: "slow", Version: "1", Models: []models.AnyType{slowRepositories},
		API:     []rest.Route{{Pattern: "/slow/", Handler: handler("route"), Allow: rest.Anybody}},
		Content: []content.Route{{Pattern: "/slower/", Handler: handler("content route")}},
		Views: []rest.View{rest.ViewSet[slowRepository]{
			Type: slowRepositories, Name: "slow",
			Actions: []rest.Action[slowRepository]{rest.Do(rest.Operation{Method: "GET", Name: "act", Collection: true},
				func(ctx context.Context, _ *rest.Request[slowRepository], _ *rest.Empty) (*rest.Empty, error) {
					return nil, wait(ctx, "action")
				})},
		}},
	})
	if _, err := app.CreateAdmin(t.Context(), "a long password"); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{
		"/slow/x": "route", "/slower/x": "content route", "/pulp/api/v3/repositories/slow/slow/act/": "action",
	} {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, app.URL()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(pulpcore.AdminName, "a long password")
		answered := make(chan struct{})
		early := answered // a nil channel once the client may leave
		go func() {
			defer close(answered)
			if res, err := http.DefaultClient.Do(r); err == nil {
				t.Errorf("GET %s = %d before the client has left", path, res.StatusCode)
				_ = res.Body.Close()
			}
		}()
		for _, step := range []struct {
			of   <-chan string
			then func()
		}{{begun, leave}, {ended, func() {}}} {
			select {
			case got := <-step.of:
				if got != what {
					t.Errorf("GET %s calls the %s", path, got)
				}
			case <-early:
				t.Fatalf("GET %s was answered too early", path)
			case <-time.After(30 * time.Second):
				t.Fatalf("GET %s: the %s does not end", path, what)
			}
			early = nil
			step.then()
		}
		<-answered
	}
}

type slowRepository struct{ models.Repository }

var slowRepositories = models.Define[slowRepository]("slow.slow")
