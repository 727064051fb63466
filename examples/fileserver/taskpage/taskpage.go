// Package taskpage is a web page that shows what the tasks of a server do and lets an administrator cancel them. It is
// plain HTML that works without a script; with one it follows the events of the API and needs no reload.
package taskpage

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/webserver"
)

//go:embed page.html style.css page.js
var files embed.FS

// Options are the parts of the page that have defaults.
type Options struct {
	// API is the path of the REST API on the same origin, with a slash at both ends. Default "/pulp/api/v3/".
	API string
	// Authorizer decides who may see the page and cancel tasks, by the permissions "tasks_list" and "tasks_cancel":
	// that of the App's options. Default: superusers.
	Authorizer rest.Authorizer
	// Origins are the other origins whose pages may cancel tasks: usually the App's. Default: none.
	Origins *webserver.Origins
	// Log receives what goes wrong. Default: nowhere.
	Log *slog.Logger
}

// Handler returns the page of the tasks of q's domain. Mount it at a path that ends with a slash, and take that path
// off with [http.StripPrefix]. The accounts and the realm are those of the API, so that a browser that was
// let in can also follow the API's events. opts may be nil.
func Handler(q *tasking.Queue, auth rest.Authenticator, opts *Options) http.Handler {
	p := &page{
		q: q, auth: auth, permits: rest.SuperusersOnly(), api: "/pulp/api/v3/", log: slog.New(slog.DiscardHandler),
	}
	if opts == nil {
		opts = &Options{}
	}
	if opts.Authorizer != nil {
		p.permits = opts.Authorizer
	}
	if opts.API != "" {
		p.api = opts.API
	}
	if opts.Log != nil {
		p.log = opts.Log
	}
	p.html = template.Must(template.New("page.html").Funcs(functions()).ParseFS(files, "page.html")) // it is our own
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("POST /cancel", p.cancel)
	mux.Handle("GET /style.css", http.FileServerFS(files))
	mux.Handle("GET /page.js", http.FileServerFS(files))
	guard := &webserver.Guard{Log: p.log} // for panics
	// The headers of p.guard must be on every answer, so it is outside of Origins, which refuses requests of other sites.
	return guard.Handler(p.guard(opts.Origins.Handler(mux)))
}

// page is the handler with what it needs.
type page struct {
	q       *tasking.Queue
	auth    rest.Authenticator
	permits rest.Authorizer
	api     string
	log     *slog.Logger
	html    *template.Template
}

// guard lets accounts in that may see tasks, and sets the headers of every answer.
func (p *page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// The page shows names that clients chose. Even if one were taken for HTML, no script in it would run, and no other
		// site could show the page in a frame to steal a click on Cancel.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		user, err := p.auth.Authenticate(r)
		switch {
		case errors.Is(err, pulperr.TooMany):
			http.Error(w, pulperr.Message(err), http.StatusTooManyRequests)
		// With 401 a browser forgets a password that is right, so an unavailable database is not answered with that.
		case err != nil && !errors.Is(err, pulperr.Unauthorized):
			p.fail(w, r, err)
		case err != nil, user == nil:
			h.Set("WWW-Authenticate", `Basic realm="api"`)
			http.Error(w, "Log in as an administrator.", http.StatusUnauthorized)
		case p.permits.Authorize(r.Context(), permission(r, user)) != nil:
			http.Error(w, "Only administrators may see the tasks.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// permission is what an account needs for a request of the page.
func permission(r *http.Request, user *accounts.User) *rest.Permission {
	operation := "tasks_list"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		operation = "tasks_cancel"
	}
	return &rest.Permission{User: user, Operation: operation, HTTP: r}
}

func (p *page) fail(w http.ResponseWriter, r *http.Request, err error) {
	p.log.ErrorContext(r.Context(), "task page failed", "path", r.URL.Path, "err", err)
	http.Error(w, "The tasks cannot be read just now.", http.StatusServiceUnavailable)
}

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	data, err := p.overview(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	var out bytes.Buffer // so that an error is not half a page
	if err := p.html.Execute(&out, data); err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = out.WriteTo(w) // the client is gone if this fails
}

// cancel cancels a task or a group. One that has ended meanwhile is no fault of the user's.
func (p *page) cancel(w http.ResponseWriter, r *http.Request) {
	// The form has one id; the bound is far above its length.
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	id, err := uuid.Parse(r.PostFormValue("task"))
	if err == nil {
		_, err = p.q.Cancel(r.Context(), id)
	} else if id, err = uuid.Parse(r.PostFormValue("group")); err == nil {
		var g *group.Group
		if g, err = p.q.Group(r.Context(), id); err == nil {
			err = g.Cancel(r.Context())
		}
	} else {
		http.Error(w, "The form has no id of a task or a group; reload the page and try again.", http.StatusBadRequest)
		return
	}
	switch {
	case errors.Is(err, pulperr.NotFound):
		http.Error(w, "There is no such task or group.", http.StatusNotFound)
	case err != nil && !errors.Is(err, pulperr.Conflict):
		p.fail(w, r, err)
	default:
		w.Header().Set("Location", "./") // relative, for the page does not know where it is mounted
		w.WriteHeader(http.StatusSeeOther)
	}
}
