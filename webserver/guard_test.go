package webserver_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/webserver"
)

func TestGuardSealsEveryAnswer(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"nothing written": func(http.ResponseWriter, *http.Request) {},
		"a status":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"bytes":           func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") },
		"a copy":          func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("a")) },
		"a flush":         func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Sealed")
			w.WriteHeader(http.StatusOK)
		},
		"another value": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Sealed"] = []string{"no", "never"}
			w.WriteHeader(http.StatusOK)
		},
		"a panic": func(http.ResponseWriter, *http.Request) { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := httptest.NewRecorder()
			inside(h).ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/", nil))
			if got := got.Result().Header["Sealed"]; len(got) != 1 || got[0] != "yes" {
				t.Errorf("Sealed = %q", got)
			}
		})
	}
}

// record is a log that several goroutines write and read.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func TestPanics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0 is a connection that is cut
		logged  bool
	}{
		{"before the answer", func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, true},
		{"with a header set", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.Header().Set("Etag", `"a"`)
			panic("boom")
		}, 500, true},
		{"after early hints", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			panic("boom")
		}, 500, true},
		{"after the status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			panic("boom")
		}, 0, true},
		{"within the answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half an ans")
			panic("boom")
		}, 0, true},
		{"by a file", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, strings.NewReader("half"))
			panic("boom")
		}, 0, true},
		{"within a stream", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			panic("boom")
		}, 0, true},
		{"to cut the connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log record
			g := &webserver.Guard{
				Log: slog.New(slog.NewTextHandler(&log, nil)),
				Panicked: func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = io.WriteString(w, "sorry")
				},
			}
			srv := httptest.NewServer(g.Handler(tt.handler))
			res, err := srv.Client().Get(srv.URL) //nolint:noctx // it ends with the test
			var body []byte
			if err == nil {
				body, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			srv.Close()
			switch {
			case tt.status == 0 && err == nil:
				t.Errorf("answer = %s %q, want a connection that is cut", res.Status, body)
			case tt.status != 0 && (err != nil || res.StatusCode != tt.status || string(body) != "sorry" || res.Header.Get("Etag") != ""):
				t.Errorf("answer = %+v %q %v, want %d", res, body, err, tt.status)
			}
			logged := strings.Contains(log.String(), "boom") && strings.Contains(log.String(), "guard_test.go")
			if logged != tt.logged || bytes.Contains(body, []byte("boom")) {
				t.Errorf("log = %s, body = %s", log.String(), body)
			}
		})
	}
}
