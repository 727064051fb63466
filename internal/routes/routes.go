// Package routes registers the patterns of plugins with an [http.ServeMux].
package routes

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// registered matches the part of the mux's text that names this file as the place of a registration.
var registered = regexp.MustCompile(` \(registered at [^)]*\)`)

// conflicting matches the pattern in the mux's text that was registered before.
var conflicting = regexp.MustCompile(`conflicts with pattern ("(?:[^"\\]|\\.)*")`)

// Owners are the plugins that have registered patterns with a mux, by pattern, so that a conflict names both sides. A
// pattern of no plugin has none.
type Owners map[string]string

// Register registers a pattern of a plugin, and turns a panic of the mux into an error. what begins the error: "content
// route".
func (o Owners) Register(mux *http.ServeMux, plugin, what, pattern string, h http.Handler) (err error) {
	defer func() {
		// http.ServeMux reports malformed and conflicting patterns by a panic only.
		if p := recover(); p != nil {
			text := registered.ReplaceAllString(fmt.Sprint(p), "")
			text = strings.NewReplacer(":\n", ": ", "\n", " ").Replace(text)
			text = conflicting.ReplaceAllStringFunc(text, o.withOwner)
			err = fmt.Errorf("%s %q: %s; choose another pattern", what, pattern, text)
		}
	}()
	mux.Handle(pattern, h)
	if plugin != "" {
		o[pattern] = plugin
	}
	return nil
}

// withOwner adds the owner to a match of conflicting.
func (o Owners) withOwner(text string) string {
	quoted := conflicting.FindStringSubmatch(text)[1]
	if pattern, err := strconv.Unquote(quoted); err == nil && o[pattern] != "" {
		return fmt.Sprintf("%s of plugin %q", text, o[pattern])
	}
	return text
}

// IsClean reports whether a mux serves a request for the path as it is. A mux redirects other requests to the clean
// form of their paths.
func IsClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}
