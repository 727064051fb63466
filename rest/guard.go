package rest

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// newGuard returns what stands around the router: it seals answers, and turns a panic into one.
func (a *API) newGuard() *webserver.Guard {
	return &webserver.Guard{
		Log:  a.log,
		Seal: func(h http.Header) { h.Set("X-Content-Type-Options", "nosniff") },
		Panicked: func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusInternalServerError, detail{"Internal error."})
		},
	}
}

// enter is the first to see a request: it gives it a correlation id, puts the headers that every answer has unless its
// handler decides otherwise, and refuses what another site made a browser send.
func (a *API) enter(w http.ResponseWriter, r *http.Request) {
	cid := correlationID(r.Header.Get("Correlation-ID"))
	h := w.Header()
	h["Correlation-ID"] = []string{cid} // not Correlation-Id: pulp-cli compares the name letter by letter
	h.Set("Access-Control-Expose-Headers", "Correlation-ID")
	h.Set("Vary", "Accept")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	r = r.WithContext(tasking.WithCorrelationID(r.Context(), cid))
	webserver.AddToAccessLog(r.Context(), slog.String("correlation_id", cid))
	a.guard.Serve(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.opts.Hosts.Check(r); err != nil {
			a.writeError(w, r, err)
			return
		}
		if a.opts.ContentHasOwnOrigin && webserver.CameTo(a.opts.ContentOrigin, r) {
			a.writeError(w, r, refuse(http.StatusForbidden, "The API is not served at the origin of content."))
			return
		}
		if err := a.opts.Origins.Check(r); err != nil {
			a.log.WarnContext(r.Context(), "request from another origin refused", "method", r.Method, "path", r.URL.Path,
				"origin", r.Header.Get("Origin"))
			a.writeError(w, r, err)
			return
		}
		a.router.ServeHTTP(w, r)
	}))
}

// correlationID returns the client's id if it is 32 hex characters or a UUID, else a new one.
func correlationID(given string) string {
	id, err := uuid.Parse(given)
	switch {
	case err == nil && (len(given) == 32 || len(given) == 36):
		return given
	case err != nil || given == "":
		id = uuid.New()
	}
	return hex.EncodeToString(id[:])
}

type userKey struct{}

// UserOf returns who sent the request that ctx belongs to, for handlers of a [Route]; nil if it is anonymous.
func UserOf(ctx context.Context) *accounts.User {
	u, _ := ctx.Value(userKey{}).(*accounts.User)
	return u
}

// identify returns the user of a request, and the request with a context that says so.
func (a *API) identify(r *http.Request) (*accounts.User, *http.Request, error) {
	u, err := a.auth.Authenticate(r)
	if err != nil {
		return nil, r, err
	}
	if u == nil {
		return nil, r, refuse(http.StatusUnauthorized, "Authentication credentials were not provided.")
	}
	webserver.AddToAccessLog(r.Context(), slog.String("user", u.Username))
	ctx := context.WithValue(tasking.WithUser(r.Context(), u.ID), userKey{}, u)
	return u, r.WithContext(ctx), nil
}

// permit refuses everybody but administrators. Without access policies nobody else has any permission.
func permit(u *accounts.User) error {
	if u == nil || !u.IsSuperuser {
		return refuse(http.StatusForbidden, msgForbidden)
	}
	return nil
}
