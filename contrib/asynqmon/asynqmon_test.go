package asynqmon_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/contrib/asynqmon"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

var nothing = tasking.Define[struct{}]("test.nothing")

func TestHandlerShowsTheQueue(t *testing.T) {
	t.Parallel()
	q := queue(t, dbtest.RedisURL(t))
	ticket, err := nothing.Dispatch(t.Context(), q, struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := asynqmon.Handler(q, "/mon")
	if err != nil {
		t.Fatal(err)
	}
	if w := do(h, "GET", "/mon"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<html") {
		t.Errorf("index = %d %.200s", w.Code, w.Body)
	}
	var list struct {
		Queues []struct {
			Queue   string
			Size    int
			Pending int
		}
	}
	w := do(h, "GET", "/mon/api/queues")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Queues) != 1 {
		t.Fatalf("queues = %d %s", w.Code, w.Body)
	}
	name := inspect.RedisQueues(q)[0]
	if got := list.Queues[0]; got.Queue != name || got.Pending != 1 {
		t.Errorf("queue = %+v, want one message in %q", got, name)
	}
	tasks := do(h, "GET", "/mon/api/queues/"+name+"/pending_tasks")
	if !strings.Contains(tasks.Body.String(), `"payload":"`+ticket.TaskID.String()) {
		t.Errorf("pending tasks = %d %s, want the id of the task", tasks.Code, tasks.Body)
	}
	versions := "{\\\"test\\\":\\\"1.2\\\"}" // as JSON writes it within a text
	if !strings.Contains(tasks.Body.String(), ticket.TaskID.String()+" "+versions) {
		t.Errorf("pending tasks = %s, want the versions that the task needs", tasks.Body)
	}
	if w := do(h, "POST", "/mon/api/queues/"+name+":pause"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("pause = %d, want that nothing can be changed", w.Code)
	}
}

func TestHandlerReportsFaults(t *testing.T) {
	t.Parallel()
	q := queue(t, dbtest.RedisURL(t))
	if _, err := asynqmon.Handler(q, "mon"); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("Handler(bad root) = %v, want Invalid", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := asynqmon.Handler(q, "/mon"); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Handler(closed queue) = %v, want Unavailable", err)
	}
}

func TestHandlerWithoutRedisExplains(t *testing.T) {
	t.Parallel()
	q := queue(t, "")
	if _, err := inspect.Redis(q); !errors.Is(err, inspect.ErrNoRedis) || !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Redis() = %v, want ErrNoRedis", err)
	}
	h, err := asynqmon.Handler(q, "/mon")
	if err != nil {
		t.Fatal(err)
	}
	w := do(h, "GET", "/mon")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "without Redis") {
		t.Errorf("the page = %d %s", w.Code, w.Body)
	}
}

func queue(t *testing.T, redisURL string) *tasking.Queue {
	t.Helper()
	q, err := tasking.NewQueue(modelstest.Open(t, dbtest.SQLite(t), nil), &tasking.QueueOptions{
		RedisURL: redisURL, Versions: map[string]string{"test": "1.2"}, // an App always has some
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func do(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}
