package routes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/routes"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	for pattern, fault := range map[string]string{"GET /a/{x}/": "", "/b/{": "at offset", "": "invalid pattern", "no slash": "missing /"} {
		err := routes.Register(mux, "route", pattern, http.NotFoundHandler())
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("Register(%q) = %v, want %q", pattern, err, fault)
		}
	}
	err := routes.Register(mux, "route", "GET /a/{y}/", http.NotFoundHandler())
	if err == nil || strings.Contains(err.Error(), ".go") || !strings.Contains(err.Error(), "choose another pattern") {
		t.Errorf("Register of a pattern twice = %v, want a fault without a file", err)
	}
}

func TestIsClean(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{"/": true, "/a": true, "/a/": true, "/a//b": false, "/a/../b": false, "/a/./": false, "": false} {
		if got := routes.IsClean(p); got != want {
			t.Errorf("IsClean(%q) = %t", p, got)
		}
	}
}
