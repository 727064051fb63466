package routes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/routes"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	mux, owners := http.NewServeMux(), routes.Owners{}
	for pattern, fault := range map[string]string{"GET /a/{x}/": "", "/b/{": "at offset", "": "invalid pattern", "no slash": "missing /"} {
		err := owners.Register(mux, "p", "route", pattern, http.NotFoundHandler())
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("Register(%q) = %v, want %q", pattern, err, fault)
		}
	}
	err := owners.Register(mux, "q", "route", "GET /a/{y}/", http.NotFoundHandler())
	if err == nil || strings.Contains(err.Error(), ".go") || !strings.Contains(err.Error(), "choose another pattern") {
		t.Errorf("Register of a pattern twice = %v, want a fault without a file", err)
	}
	if want := `conflicts with pattern "GET /a/{x}/" of plugin "p":`; err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("Register of a pattern twice = %v, want %s", err, want)
	}
	if err := owners.Register(mux, "", "route", "/c/", http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	err = owners.Register(mux, "q", "route", "/c/", http.NotFoundHandler())
	if err == nil || strings.Contains(err.Error(), "of plugin") {
		t.Errorf("Register of a pattern of no plugin again = %v, want a fault without a plugin", err)
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
