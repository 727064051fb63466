package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulptest"
)

func TestTheHostsPageAndTheAppLiveInOneMux(t *testing.T) {
	t.Parallel()
	mux := newMux(pulptest.New(t, file.Plugin()).App)
	for path, want := range map[string]int{
		"/": http.StatusOK, "/pulp/api/v3/status/": http.StatusOK, "/pulp/content/": http.StatusOK,
		"/pulp/content/nothing": http.StatusNotFound, "/elsewhere": http.StatusNotFound,
	} {
		res := httptest.NewRecorder()
		mux.ServeHTTP(res, httptest.NewRequest(http.MethodGet, path, nil))
		if res.Code != want {
			t.Errorf("GET %s = %d, want %d", path, res.Code, want)
		}
	}
}
