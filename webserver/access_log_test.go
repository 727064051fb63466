package webserver_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/pulpgo/pulpcore/webserver"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{
			"an answer", func(w http.ResponseWriter, r *http.Request) {
				webserver.AddToAccessLog(r.Context(), slog.String("user", "admin"))
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, "12345")
			},
			`level=INFO msg=request method=POST path="/a b" status=418 bytes=5 duration=\S+ address=192.0.2.1 user=admin\n`,
		},
		{
			"nothing", func(http.ResponseWriter, *http.Request) {},
			`level=INFO msg=request method=POST path="/a b" status=200 bytes=0 duration=\S+ address=192.0.2.1\n`,
		},
		{
			"a cut answer", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "123")
				panic(http.ErrAbortHandler)
			},
			`level=INFO msg=request method=POST path="/a b" status=200 bytes=3 duration=\S+ address=192.0.2.1 cut=true\n`,
		},
	} {
		var out bytes.Buffer
		log := &webserver.AccessLog{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))}
		func() {
			defer func() { _ = recover() }() // as the server does
			r := httptest.NewRequest("POST", "/a%20b?password=secret", nil)
			log.Handler(log.Handler(test.h)).ServeHTTP(httptest.NewRecorder(), r)
		}()
		if !regexp.MustCompile("^" + test.want + "$").MatchString(out.String()) {
			t.Errorf("%s: the log has %q, want %s", test.name, out.String(), test.want)
		}
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		webserver.AddToAccessLog(r.Context(), slog.String("user", "nobody reads it"))
		w.WriteHeader(http.StatusNoContent)
	})
	res := httptest.NewRecorder()
	if (&webserver.AccessLog{}).Handler(h).ServeHTTP(res, httptest.NewRequest("GET", "/", nil)); res.Code != http.StatusNoContent {
		t.Errorf("status %d without a log", res.Code)
	}
}
