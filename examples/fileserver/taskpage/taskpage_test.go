package taskpage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/examples/fileserver/taskpage"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// auth knows everybody by name.
type auth struct{}

func (auth) Authenticate(r *http.Request) (*accounts.User, error) {
	switch name, _, _ := r.BasicAuth(); name {
	case "admin":
		return &accounts.User{ID: 1, Username: name, IsSuperuser: true}, nil
	case "user":
		return &accounts.User{ID: 2, Username: name}, nil
	case "wrong":
		return nil, pulperr.Public(pulperr.Unauthorized, "Invalid username/password.")
	case "down":
		return nil, errors.New("the database is away")
	}
	return nil, nil
}

type workArgs struct{ Exclusive []string }

func (a workArgs) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.Named(a.Exclusive...)}
}

var work = tasking.Define[workArgs]("test.work")

type bench struct {
	t *testing.T
	q *tasking.Queue
	h http.Handler
}

func setup(t *testing.T, dbURL string) *bench {
	t.Helper()
	q, err := tasking.NewQueue(modelstest.Open(t, dbURL, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return &bench{t, q, http.StripPrefix("/tasks", taskpage.Handler(q, auth{}, &taskpage.Options{
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}))}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (b *bench) dispatch(exclusive string, group *group.Group) uuid.UUID {
	b.t.Helper()
	ticket, err := work.Dispatch(b.t.Context(), b.q, workArgs{[]string{exclusive}}, &tasking.DispatchOptions{Group: group})
	if err != nil {
		b.t.Fatal(err)
	}
	return ticket.TaskID
}

func (b *bench) do(method, path, user string, form url.Values, edit ...func(*http.Request)) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if user != "" {
		r.SetBasicAuth(user, "x")
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	return w.Result()
}

func (b *bench) page() string {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/tasks/", nil)
	r.SetBasicAuth("admin", "x")
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.t.Fatalf("GET = %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func (b *bench) state(id uuid.UUID) models.TaskState {
	b.t.Helper()
	task, err := b.q.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return task.State
}

func TestPageShowsEverything(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dbURL string) {
		t.Parallel()
		b := setup(t, dbURL)
		if html := b.page(); !strings.Contains(html, "Nothing is running") || !strings.Contains(html, "Nothing is waiting") {
			t.Errorf("empty page = %s", html)
		}
		group, err := b.q.NewGroup(t.Context(), "an <b>import</b>")
		if err != nil {
			t.Fatal(err)
		}
		var during string
		w, err := worker.New(b.q, &worker.Options{Name: "the worker", WorkDir: t.TempDir(), Bindings: []tasking.Binding{
			work.Bind(func(ctx context.Context, e *tasking.Env, a workArgs) error {
				if a.Exclusive[0] == "fails" {
					return pulperr.Public(pulperr.Invalid, "it is <broken>")
				}
				return e.Progress(ctx, "Loading <script>", "load", func(*tasking.Progress) error {
					if during == "" {
						during = b.page()
					}
					return nil
				})
			}),
		}})
		if err != nil {
			t.Fatal(err)
		}
		first := b.dispatch("repo & more", group)
		second := b.dispatch("repo & more", nil)
		b.dispatch("fails", nil)
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := b.page()
		for _, want := range []string{
			`<div class="tile run"><b>1</b>`, "Loading &lt;script&gt;", "an &lt;b&gt;import&lt;/b&gt;", "on the worker",
			"repo &amp; more", `id="t-` + second.String(), `id="t-` + first.String(), "test.work", "<progress",
		} {
			if !strings.Contains(during+after, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
		if strings.Contains(during+after, "<script>") || !strings.Contains(after, "it is &lt;broken&gt;") {
			t.Error("the page does not escape what it shows, or does not show why a task failed")
		}
	})
}

func TestPageSaysWhoWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t))
	first, second := b.dispatch("repo", nil), b.dispatch("repo", nil)
	html := b.page()
	_, rest, ok := strings.Cut(html, `id="t-`+second.String())
	if !ok || !strings.Contains(rest, "blocked") || !strings.Contains(rest, `href="#t-`+first.String()) {
		t.Errorf("the page does not say that %s waits for %s: %s", second, first, html)
	}
	if !strings.Contains(html, ">ready<") {
		t.Error("the page does not say that the first task is ready")
	}
	for i := range 60 {
		b.dispatch(fmt.Sprint("r", i), nil)
	}
	if html := b.page(); strings.Count(html, "<article") != 50 || !strings.Contains(html, "Only the oldest 50 of 62 are shown") {
		t.Errorf("%d tasks are shown, want 50 and a word about it", strings.Count(html, "<article"))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t))
	group, err := b.q.NewGroup(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	one, two, member := b.dispatch("r", nil), b.dispatch("r", nil), b.dispatch("r", group)
	form := url.Values{"task": {one.String()}}
	for range 2 { // the second time it has ended
		res := b.do("POST", "/tasks/cancel", "admin", form)
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "./" {
			t.Errorf("cancel = %s to %q", res.Status, res.Header.Get("Location"))
		}
	}
	b.do("POST", "/tasks/cancel", "admin", url.Values{"group": {group.ID.String()}})
	got := fmt.Sprint(b.state(one), b.state(two), b.state(member))
	if want := fmt.Sprint(models.Canceled, models.Waiting, models.Canceled); got != want {
		t.Errorf("states = %s, want %s", got, want)
	}
}

func TestPageIsForAdministratorsOfThisSite(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t))
	id := b.dispatch("r", nil)
	task := url.Values{"task": {id.String()}}
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	origin := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
	for _, tt := range []struct {
		method, path, user string
		form               url.Values
		edit               func(*http.Request)
		want               int
	}{
		{"GET", "/tasks/", "", nil, nil, 401},
		{"GET", "/tasks/", "wrong", nil, nil, 401},
		{"GET", "/tasks/", "user", nil, nil, 403},
		{"GET", "/tasks/", "down", nil, nil, 503},
		{"GET", "/tasks/page.html", "admin", nil, nil, 404},
		{"GET", "/tasks/page.js", "admin", nil, nil, 200},
		{"GET", "/tasks/style.css", "admin", nil, nil, 200},
		{"GET", "/tasks/style.css", "", nil, nil, 401},
		{"GET", "/tasks/cancel?task=" + id.String(), "admin", nil, nil, 405},
		{"POST", "/tasks/cancel", "admin", task, foreign, 403},
		{"POST", "/tasks/cancel", "admin", task, origin, 403},
		{"POST", "/tasks/cancel", "user", task, nil, 403},
		{"POST", "/tasks/cancel", "admin", url.Values{"task": {"x"}}, nil, 400},
		{"POST", "/tasks/cancel", "admin", url.Values{"task": {models.NewID().String()}}, nil, 404},
		{"POST", "/tasks/cancel", "admin", url.Values{"group": {models.NewID().String()}}, nil, 404},
	} {
		var edits []func(*http.Request)
		if tt.edit != nil {
			edits = append(edits, tt.edit)
		}
		res := b.do(tt.method, tt.path, tt.user, tt.form, edits...)
		if res.StatusCode != tt.want {
			t.Errorf("%s %s by %q = %s, want %d", tt.method, tt.path, tt.user, res.Status, tt.want)
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s %s: Content-Security-Policy = %q", tt.method, tt.path, csp)
		}
		if tt.want == 401 && res.Header.Get("WWW-Authenticate") != `Basic realm="api"` {
			t.Errorf("WWW-Authenticate = %q, want the API's realm", res.Header.Get("WWW-Authenticate"))
		}
	}
	if state := b.state(id); state != models.Waiting {
		t.Errorf("the task is %s", state)
	}
}
