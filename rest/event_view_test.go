package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// sse is one server-sent event.
type sse struct {
	id, event string
	data      map[string]any
}

// stream reads events from a server.
type stream struct {
	t     testing.TB
	res   *http.Response
	lines *bufio.Scanner
	close context.CancelFunc
}

// follow opens a stream; it is open when follow returns.
func follow(t testing.TB, url string, edit ...func(*http.Request)) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(t, err)
	for _, e := range edit {
		e(req)
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	return &stream{t, res, bufio.NewScanner(res.Body), cancel}
}

// next returns the next event, or false at the end.
func (s *stream) next() (e sse, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			must(s.t, json.Unmarshal([]byte(value), &e.data))
		case "":
			if e.event != "" {
				return e, true
			}
		}
	}
	return e, false
}

func serveAPI(t *testing.T, b *bundle) string {
	t.Helper()
	srv := httptest.NewServer(b.api)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return srv.URL
}

func TestEventsAreStreamed(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		url := serveAPI(t, b) + "/pulp/api/v3/tasks/events/"
		all := follow(t, url)
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store",
		} {
			if got := all.res.Header.Get(name); all.res.StatusCode != 200 || got != want {
				t.Errorf("%d, %s: %q, want %q", all.res.StatusCode, name, got, want)
			}
		}
		href := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
		task := b.do("DELETE", href, nil).want(http.StatusAccepted).str("task")
		one := follow(t, url+"?task="+task)
		must(t, b.worker.RunPending(t.Context()))
		for i, want := range []string{"waiting", "running", "completed"} {
			e, ok := all.next()
			if !ok || e.event != "task" || e.data["state"] != want || e.data["task"] != task || e.id != string(rune('1'+i)) {
				t.Errorf("event %d = %+v, want state %s", i, e, want)
			}
		}
		if e, _ := one.next(); e.data["state"] != "running" || e.data["name"] != "pulpcore.app.tasks.base.general_delete" ||
			e.data["worker"] == nil {
			t.Errorf("first event of the task = %+v", e)
		}
	})
}

func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	members, err := b.queue.NewGroup(t.Context(), "some")
	must(t, err)
	progress := tasking.Define[struct{}]("file.progress")
	w, err := worker.New(b.queue, &worker.Options{WorkDir: t.TempDir(), Bindings: []tasking.Binding{
		progress.Bind(func(ctx context.Context, e *tasking.Env, _ struct{}) error {
			return e.Progress(ctx, "Half", "half", func(p *tasking.Progress) error { p.SetTotal(2); p.Add(1); return nil })
		}),
	}})
	must(t, err)
	url := serveAPI(t, b) + "/pulp/api/v3/tasks/events/?task_group="
	s := follow(t, url+models.CorePRN("taskgroup", members.ID))
	_, err = progress.Dispatch(t.Context(), b.queue, struct{}{}, nil) // not of the group
	must(t, err)
	_, err = progress.Dispatch(t.Context(), b.queue, struct{}{}, &tasking.DispatchOptions{Group: members})
	must(t, err)
	must(t, w.RunPending(t.Context()))
	var got []string
	var last map[string]any
	for range 5 {
		e, _ := s.next()
		got = append(got, e.event)
		if e.event == "progress" {
			last, _ = e.data["progress_report"].(map[string]any)
		}
		if e.data["task_group"] != "/pulp/api/v3/task-groups/"+members.ID.String()+"/" {
			t.Errorf("event = %+v, want one of the group", e)
		}
	}
	if strings.Join(got, " ") != "task task progress progress task" {
		t.Errorf("events = %q", got)
	}
	if last["message"] != "Half" || last["done"] != 1.0 || last["total"] != 2.0 || last["state"] != "completed" {
		t.Errorf("last progress = %v", last)
	}
}

func TestEventsAfterReconnect(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	s := follow(t, serveAPI(t, b)+"/pulp/api/v3/tasks/events/", func(r *http.Request) { r.Header.Set("Last-Event-ID", "7") })
	if e, ok := s.next(); !ok || e.event != "lost" || len(e.data) != 1 {
		t.Errorf("first event = %+v, want that some may be lost", e)
	}
}

func TestEventsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), &rest.Options{EventStreams: 1})
	for query, status := range map[string]int{
		"?task=nonsense": 400, "?task=/pulp/api/v3/workers/" + models.NewID().String() + "/": 400, "?name=x": 400,
		"?task=/pulp/api/v3/tasks/" + models.NewID().String() + "/": 404, "?%zz": 400,
	} {
		b.do("GET", "tasks/events/"+query, nil).want(status)
	}
	b.do("HEAD", "tasks/events/", nil).want(200)
	b.do("POST", "tasks/events/", nil).want(405)
	url := serveAPI(t, b) + "/pulp/api/v3/tasks/events/"
	first := follow(t, url)
	second := follow(t, url)
	if body, _ := io.ReadAll(second.res.Body); second.res.StatusCode != 503 || second.res.Header.Get("Retry-After") == "" {
		t.Errorf("second stream = %d %s, want 503", second.res.StatusCode, body)
	}
	first.close() // its place is free once the server has noticed
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for follow(t, url).res.StatusCode != 200 {
		<-tick.C
	}
	nobody := setup(t, dbtest.SQLite(t), &rest.Options{Auth: nobodyIsKnown{}})
	nobody.do("GET", "tasks/events/", nil).want(401)
}

type nobodyIsKnown struct{}

func (nobodyIsKnown) Authenticate(*http.Request) (*accounts.User, error) { return nil, nil }

// plainWriter cannot be flushed.
type plainWriter struct{ w *httptest.ResponseRecorder }

func (p plainWriter) Header() http.Header         { return p.w.Header() }
func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p plainWriter) WriteHeader(status int)      { p.w.WriteHeader(status) }

func TestEventsNeedAStreamingServer(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	w := plainWriter{httptest.NewRecorder()}
	b.api.ServeHTTP(w, httptest.NewRequest("GET", "/pulp/api/v3/tasks/events/", nil))
	if w.w.Code != 500 || w.w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answer = %d %s, want an error", w.w.Code, w.w.Body)
	}
}

func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	serving, end := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/pulp/api/v3/tasks/events/", nil)
	r = r.WithContext(rest.WithShutdown(t.Context(), serving))
	end()
	b.api.ServeHTTP(w, r) // returns
	if w.Code != 200 {
		t.Errorf("status = %d", w.Code)
	}
}

// TestFollowedEventsEndWithTheServer has a stream that a client follows when the server shuts down.
func TestFollowedEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	serving, end := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(b.api)
	base := rest.WithShutdown(context.WithoutCancel(t.Context()), serving)
	server.Config.BaseContext = func(net.Listener) context.Context { return base }
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	s := follow(t, server.URL+"/pulp/api/v3/tasks/events/")
	_, err := tasking.Define[struct{}]("file.progress").Dispatch(t.Context(), b.queue, struct{}{}, nil)
	must(t, err)
	if e, ok := s.next(); !ok || e.event != "task" {
		t.Fatalf("first event = %+v, %t", e, ok)
	}
	end()
	if e, ok := s.next(); ok {
		t.Errorf("event after the end of the server: %+v", e)
	}
	if err := s.lines.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, server.Config.Shutdown(ctx)) // nothing holds it up
}

func TestQuietStreamsStayAlive(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), &rest.Options{KeepAlive: time.Millisecond})
	s := follow(t, serveAPI(t, b)+"/pulp/api/v3/tasks/events/")
	for n := 0; n < 3; {
		if !s.lines.Scan() {
			t.Fatal("the stream ends")
		}
		if strings.HasPrefix(s.lines.Text(), ":") {
			n++
		}
	}
}
