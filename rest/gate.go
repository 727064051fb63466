package rest

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// gate is what a request passes before it reaches an operation or a route: it sets the headers of all answers, refuses
// requests of other hosts and origins, and authenticates the client.
type gate struct {
	auth  Authenticator
	opts  *Options
	log   *slog.Logger
	guard *webserver.Guard
	next  http.Handler
}

// newGate returns a gate that leads nowhere yet.
func newGate(opts *Options) *gate {
	// Seal sets nosniff, because a browser could take JSON that repeats a client's text for HTML.
	return &gate{auth: opts.Auth, opts: opts, log: opts.Log, guard: &webserver.Guard{
		Log:  opts.Log,
		Seal: func(h http.Header) { h.Set("X-Content-Type-Options", "nosniff") },
		Panicked: func(w http.ResponseWriter, _ *http.Request) {
			wire.WriteJSON(w, http.StatusInternalServerError, wire.Detail{Detail: "Internal error."})
		},
	}}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cid := correlationID(r.Header.Get("Correlation-ID"))
	h := w.Header()
	h["Correlation-ID"] = []string{cid} // not Correlation-Id: pulp-cli compares the name letter by letter
	h.Set("Access-Control-Expose-Headers", "Correlation-ID")
	h.Set("Vary", "Accept")
	h.Set("X-Frame-Options", "DENY")
	// Answers are data. A browser that shows one must not run or embed anything in it.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	webserver.AddToAccessLog(r.Context(), slog.String("correlation_id", cid))
	g.guard.Serve(w, r.WithContext(tasking.WithCorrelationID(r.Context(), cid)), http.HandlerFunc(g.check))
}

// check refuses requests for other hosts, and requests that a browser sent for a page of another site.
func (g *gate) check(w http.ResponseWriter, r *http.Request) {
	// The host is checked first, because both checks below compare an origin with it.
	if err := g.opts.Hosts.Check(r); err != nil {
		wire.WriteError(w, r, g.log, err)
		return
	}
	// Served files have no sandbox at that origin, so a script in one could call the API with the browser's login.
	if g.opts.ContentHasOwnOrigin && webserver.CameTo(g.opts.ContentOrigin, r) {
		err := wire.Refuse(http.StatusForbidden, "The API is not served at the origin of content.")
		wire.WriteError(w, r, g.log, err)
		return
	}
	if err := g.opts.Origins.Check(r); err != nil {
		// The administrator has to see the refusal: it is an attack, or an origin that CSRF_TRUSTED_ORIGINS lacks.
		g.log.WarnContext(r.Context(), "request from another origin refused", "method", r.Method, "path", r.URL.Path,
			"origin", r.Header.Get("Origin"))
		wire.WriteError(w, r, g.log, err)
		return
	}
	g.next.ServeHTTP(w, r)
}

// correlationID returns the client's id if it is 32 hex characters or a UUID, else a new one.
func correlationID(given string) string {
	// The id is written into logs and into rows of tasks, so no other text of a client is taken over.
	id, err := uuid.Parse(given)
	switch {
	// uuid.Parse also takes braces and urn:uuid:. Such an id is answered as plain hex.
	case err == nil && (len(given) == 32 || len(given) == 36):
		return given
	case err != nil || given == "":
		id = uuid.New()
	}
	return hex.EncodeToString(id[:])
}

// visible returns the rows that an account may see.
func (g *gate) visible(p *Permission) (*Visible, error) {
	return g.opts.Authorizer.Visible(p.HTTP.Context(), p)
}

type permissionKey struct{}

// permissionOf returns what the request that ctx belongs to needed. Without a log-in it is empty.
func permissionOf(ctx context.Context) *Permission {
	if p, ok := ctx.Value(permissionKey{}).(*Permission); ok {
		return p
	}
	return &Permission{}
}

// UserOf returns the user who sent the request that ctx belongs to, for handlers of a [Route]; nil if it is anonymous.
func UserOf(ctx context.Context) *accounts.User { return permissionOf(ctx).User }

// admit refuses a request whose sender may not use what allow and p describe. The request that it returns knows the
// account; p gets it too.
func (g *gate) admit(r *http.Request, allow Access, p *Permission) (*http.Request, error) {
	if allow == Anybody {
		return r, nil
	}
	u, err := g.auth.Authenticate(r)
	if err != nil {
		return r, err
	}
	if u == nil {
		return r, wire.Refuse(http.StatusUnauthorized, "Authentication credentials were not provided.")
	}
	// The access log has the name also if the account may not use the operation.
	webserver.AddToAccessLog(r.Context(), slog.String("user", u.Username))
	r = r.WithContext(context.WithValue(tasking.WithUser(r.Context(), u.ID), permissionKey{}, p))
	p.User, p.HTTP = u, r
	if allow == Authorized {
		return r, g.opts.Authorizer.Authorize(r.Context(), p)
	}
	return r, nil
}
