package webserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Origins refuse requests that another web site made a browser send, with the password that the browser remembers: a
// forged form, for example. Browsers send the origin with each request that can change state; other clients send none,
// and their requests pass. nil and the zero value trust no other origin.
type Origins struct{ check http.CrossOriginProtection }

// TrustOrigins returns Origins that let requests from the listed origins pass, besides those from the server's own. An
// origin is "scheme://host" or "scheme://host:port". Mirrors Django's CSRF_TRUSTED_ORIGINS, without wildcards.
//
// Errors: Invalid, naming every entry that is not an origin.
func TrustOrigins(list ...string) (*Origins, error) {
	o := new(Origins)
	var faults []error
	for _, text := range list {
		origin, err := parseOrigin(text)
		if err == nil {
			err = o.check.AddTrustedOrigin(origin)
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("webserver: %w: %w", pulperr.Invalid, err)
	}
	return o, nil
}

// parseOrigin returns an origin in the form in which browsers send it.
func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	// Django allows wildcards in CSRF_TRUSTED_ORIGINS. http.CrossOriginProtection compares whole origins.
	case strings.Contains(text, "*"):
		return "", fmt.Errorf("origin %q has a wildcard; list each origin", text)
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "", fmt.Errorf("origin %q is not http:// or https:// and a host; write it as in https://example.com", text)
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#"):
		return "", fmt.Errorf("origin %q has more than scheme, host and port; remove the rest", text)
	}
	// Origins are compared as texts. Browsers write the host in lower case and leave out the default port.
	host := strings.ToLower(u.Host)
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(host, defaultPort), ":"), nil
}

// CameTo reports whether a request came to an origin, by its Host header. The scheme is not compared: only the proxy
// knows it.
func CameTo(origin string, r *http.Request) bool {
	scheme, _, _ := strings.Cut(origin, "://")
	here, err := parseOrigin(origin)
	there, err2 := parseOrigin(scheme + "://" + r.Host)
	return err == nil && err2 == nil && here == there
}

// Check returns nil for a request that may pass: one with GET, HEAD or OPTIONS, from the server's own origin or a
// trusted one, or from a client that is not a browser.
//
// Errors: Forbidden, with public text.
func (o *Origins) Check(r *http.Request) error {
	if o == nil {
		o = new(Origins)
	}
	if o.check.Check(r) == nil {
		return nil
	}
	origin := r.Header.Get("Origin")
	// The browser sent Sec-Fetch-Site alone, so there is no origin to name.
	if origin == "" {
		return pulperr.Public(pulperr.Forbidden,
			"The browser sent this request on behalf of another site, which may be a forgery.")
	}
	return pulperr.Public(pulperr.Forbidden,
		"The origin %q is not trusted. If it is yours, add it to CSRF_TRUSTED_ORIGINS.",
		strings.ToValidUTF8(origin, "\uFFFD"))
}

// Handler returns h for requests that pass, and answers others with 403 and a JSON body as Pulp's API has it.
func (o *Origins) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := o.Check(r)
		if err == nil {
			h.ServeHTTP(w, r)
			return
		}
		body, err := json.Marshal(map[string]string{"detail": pulperr.Message(err)})
		if err != nil {
			body = []byte(`{}`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(body) // the client is gone if this fails
	})
}
