package content

import (
	"net/http"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/webserver"
)

const (
	// sandbox is the policy for all answers: a repository may hold hostile bytes, so a browser shows them in an origin
	// of their own, without scripts and forms. Links work, and lead to downloads.
	sandbox = "sandbox allow-downloads"
	// ownPages is the policy for listings and errors, which load no other resource.
	ownPages = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// border wraps the app, including the handlers and routes of plugins: it checks each request and adds headers to each
// answer.
type border struct {
	inner     http.Handler
	ownOrigin string           // where there is no sandbox; "" is nowhere
	foreign   *webserver.Guard // of requests that came to another origin
	own       *webserver.Guard
}

// newBorder returns inner behind its border.
func newBorder(o *Options, inner http.Handler) http.Handler {
	guard := func(policy string) *webserver.Guard {
		return &webserver.Guard{
			Log: o.Log,
			// Set when the header is sent, so that no handler can remove it.
			Seal: func(h http.Header) {
				// Otherwise a browser may take a text for HTML.
				h.Set("X-Content-Type-Options", "nosniff")
				if policy != "" {
					// Beside the policies that a handler has set: a browser applies all of them.
					h.Add("Content-Security-Policy", policy)
				}
			},
			Panicked: func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, http.StatusInternalServerError, "") },
		}
	}
	// Handlers of plugins get a copy of the request, so net/http does not see the temporary files of the forms that they
	// parse. formfiles removes these.
	return o.Limits.Handler(&border{
		inner: formfiles.Handler(o.Origins.Handler(inner)), ownOrigin: o.OwnOrigin, foreign: guard(sandbox), own: guard(""),
	})
}

func (b *border) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The sandbox is the default: an unknown Host must not lift it.
	guard := b.foreign
	if b.ownOrigin != "" && webserver.CameTo(b.ownOrigin, r) {
		guard = b.own
	}
	guard.Serve(w, r, b.inner)
}
