package guards_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// Distribution answers every path with its own text.
type Distribution struct{ models.Distribution }

func (*Distribution) ContentHandler(context.Context, *content.Request) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "protected") }), nil
}

var distributions = models.Define[Distribution]("test.test")

// site is a content app with one distribution, at /pulp/content/x/.
type site struct {
	t   *testing.T
	db  *models.DB
	app *content.App
	d   *Distribution
}

var serial atomic.Int64

func each(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		s := &site{t: t, d: &Distribution{}}
		s.db = modelstest.Open(t, url, nil, guards.Models(), models.PluginModels{
			Plugin: "test", Types: []models.AnyType{distributions},
		})
		store, err := storage.Open(t.Context(), "mem://", nil)
		s.must(err)
		pool := download.NewPool(0)
		s.app, err = content.New(s.db, store, pool, &content.Options{
			Authorize: func(_ context.Context, r *content.Request, g models.AnyContentGuard) error {
				if r.HTTP.Header.Get("User") == "of "+g.AsContentGuard().Name {
					return nil
				}
				return pulperr.Public(pulperr.Unauthorized, "Who are you?")
			},
		})
		s.must(err)
		t.Cleanup(func() {
			for _, err := range []error{s.app.Close(), pool.Close(), store.Close()} {
				if err != nil {
					t.Error(err)
				}
			}
		})
		s.d.Name, s.d.BasePath = "x", "x"
		s.must(distributions.Create(t.Context(), s.db, s.d))
		fn(t, s)
	})
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// create saves a guard.
func (s *site) create(g models.AnyContentGuard) uuid.UUID {
	s.t.Helper()
	g.AsContentGuard().Name = fmt.Sprintf("guard-%d", serial.Add(1))
	s.must(models.Create(s.t.Context(), s.db, g))
	return g.PulpID()
}

// protect saves a guard and makes it that of the distribution.
func (s *site) protect(g models.AnyContentGuard) {
	s.t.Helper()
	s.d.ContentGuardID = new(s.create(g))
	s.must(distributions.Update(s.t.Context(), s.db, s.d, "content_guard_id"))
}

// get sends a request with headers: name, value, name, value…
func (s *site) get(target string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.app.ServeHTTP(w, r)
	if (w.Code == http.StatusOK) != strings.Contains(w.Body.String(), "protected") {
		s.t.Errorf("GET %s = %d %q", target, w.Code, w.Body)
	}
	return w
}

// want compares an answer.
func (s *site) want(name string, got *httptest.ResponseRecorder, status int, body string) {
	s.t.Helper()
	if got.Code != status || body != "" && got.Body.String() != body {
		s.t.Errorf("%s: %d %q, want %d %q", name, got.Code, got.Body, status, body)
	}
}

// permit asks a guard that was not saved.
func permit(t testing.TB, g content.Guard, target string, header http.Header) error {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	u, err := r.URL.Parse(target)
	if err != nil {
		return pulperr.Forbidden // net/http refuses such a request
	}
	r.URL = u
	if header != nil {
		r.Header = header
	}
	return g.Permit(t.Context(), &content.Request{HTTP: r})
}
