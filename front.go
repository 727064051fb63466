package pulpcore

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/webserver"
)

// openFront makes what stands between clients and handlers.
func (a *App) openFront() error {
	core := a.set.Core()
	var err error
	if a.origins, err = webserver.TrustOrigins(core.CSRFTrustedOrigins...); err != nil {
		return fmt.Errorf("pulpcore: CSRF_TRUSTED_ORIGINS: %w", err)
	}
	if a.proxies, err = webserver.TrustProxies(core.TrustedProxies...); err != nil {
		return fmt.Errorf("pulpcore: TRUSTED_PROXIES: %w", err)
	}
	hosts := slices.Concat(core.AllowedHosts, ownHosts(core.Listen, core.ContentOrigin))
	if a.hosts, err = webserver.AllowHosts(hosts...); err != nil {
		return fmt.Errorf("pulpcore: ALLOWED_HOSTS: %w", err)
	}
	a.auth = rest.BasicAuth(a.db, &rest.BasicAuthOptions{Log: a.log})
	return nil
}

// ownHosts returns the hosts by which the settings call this server.
func ownHosts(listen, origin string) (hosts []string) {
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	for i, host := range hosts {
		if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
			hosts[i] = "[" + host + "]"
		}
	}
	return hosts
}

// front puts around a handler what must see a request first.
func (a *App) front(h http.Handler) http.Handler {
	log := &webserver.AccessLog{Log: a.opts.AccessLog}
	if log.Log == nil && a.set.Core().AccessLog {
		log.Log = a.log
	}
	return a.proxies.Handler(log.Handler(h))
}
