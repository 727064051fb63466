package formfiles_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/internal/nettest"
)

func TestHandler(t *testing.T) {
	uploads := nettest.NewUploads(t)
	for name, h := range map[string]http.HandlerFunc{
		"a form": uploads.ServeHTTP,
		"a form that is removed": func(w http.ResponseWriter, r *http.Request) {
			uploads.ServeHTTP(w, r)
			if err := r.MultipartForm.RemoveAll(); err != nil {
				t.Error(err)
			}
		},
		"a panic": func(w http.ResponseWriter, r *http.Request) {
			uploads.ServeHTTP(w, r)
			panic(http.ErrAbortHandler)
		},
		"no form": func(http.ResponseWriter, *http.Request) {},
		"parts": func(_ http.ResponseWriter, r *http.Request) {
			if _, err := r.MultipartReader(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); (p != nil) != (name == "a panic") || len(uploads.Files()) != 0 {
					t.Errorf("panic = %v, files that are left: %q", p, uploads.Files())
				}
			}()
			formfiles.Handler(h).ServeHTTP(httptest.NewRecorder(), uploads.Request("/"))
		})
	}
}
