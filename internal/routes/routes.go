// Package routes registers the patterns of plugins with an [http.ServeMux].
package routes

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// registered matches the part of the mux's text that names this file as the place of a registration.
var registered = regexp.MustCompile(` \(registered at [^)]*\)`)

// Register registers a pattern, and turns a panic of the mux into an error. what begins the error: "content route".
func Register(mux *http.ServeMux, what, pattern string, h http.Handler) (err error) {
	defer func() {
		// http.ServeMux reports malformed and conflicting patterns by a panic only.
		if p := recover(); p != nil {
			text := registered.ReplaceAllString(fmt.Sprint(p), "")
			text = strings.NewReplacer(":\n", ": ", "\n", " ").Replace(text)
			err = fmt.Errorf("%s %q: %s; choose another pattern", what, pattern, text)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// IsClean reports whether a mux serves a request for the path as it is. A mux redirects other requests to the clean
// form of their paths.
func IsClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}
