package pulpcore

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver"
)

// front is the middleware in front of every handler of an App.
type front struct {
	log     *webserver.AccessLog // writes only if it has a Log
	origins *webserver.Origins
	proxies *webserver.Proxies
	hosts   *webserver.Hosts
}

func newFront(core settings.Core) (f *front, faults []error) {
	f = new(front)
	check := func(setting string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", setting, err))
		}
	}
	var err error
	f.origins, err = webserver.TrustOrigins(core.CSRFTrustedOrigins...)
	check("CSRF_TRUSTED_ORIGINS", err)
	f.proxies, err = webserver.TrustProxies(core.TrustedProxies...)
	check("TRUSTED_PROXIES", err)
	f.hosts, err = webserver.AllowHosts(slices.Concat(core.AllowedHosts, ownHosts(core.Listen, core.ContentOrigin))...)
	check("ALLOWED_HOSTS", err)
	return f, faults
}

// ownHosts returns the hosts that LISTEN and CONTENT_ORIGIN name. They are allowed without being listed.
func ownHosts(listen, origin string) (hosts []string) {
	// 0.0.0.0 and :: stand for all addresses of the machine and are the name of none.
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	for i, host := range hosts {
		if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
			// A Host header has brackets around an IPv6 address.
			hosts[i] = "[" + host + "]"
		}
	}
	return hosts
}

// withLog returns the same front with an access log.
func (f front) withLog(log *webserver.AccessLog) *front {
	f.log = log
	return &f
}

// handler wraps h in the middleware.
func (f *front) handler(h http.Handler) http.Handler {
	// Proxies come first: the access log shows the client's address and not the proxy's.
	return f.proxies.Handler(f.log.Handler(h))
}

// accessLog returns the log of requests that the host's options and the settings ask for.
func accessLog(opts *Options, core settings.Core, log *slog.Logger) *webserver.AccessLog {
	if opts.AccessLog == nil && core.AccessLog {
		return &webserver.AccessLog{Log: log}
	}
	return &webserver.AccessLog{Log: opts.AccessLog}
}

// patterns returns what the App serves, as patterns of [http.ServeMux].
func (p *plan) patterns() []string {
	core := p.set.Core()
	list := []string{core.APIRoot, core.ContentPathPrefix}
	for _, r := range p.routes {
		list = append(list, r.Pattern)
	}
	for _, r := range p.content {
		list = append(list, r.Pattern)
	}
	return list
}

// route returns a handler that gives the content app the paths below CONTENT_PATH_PREFIX and the content routes of
// plugins, and the API all others.
func (p *plan) route(api, served http.Handler) http.Handler {
	prefix, routes := p.set.Core().ContentPathPrefix, http.NewServeMux()
	for _, r := range p.content {
		routes.Handle(r.Pattern, served) // it cannot panic: content.New has refused patterns that clash
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux is only asked for the pattern: the content app has the handlers, and puts its headers around them.
		_, pattern := routes.Handler(r)
		// The slash at the end of the path makes the prefix match without its own slash, too: /pulp/content.
		if strings.HasPrefix(r.URL.Path+"/", prefix) || pattern != "" {
			served.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
