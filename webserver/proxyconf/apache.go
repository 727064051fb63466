package proxyconf

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

// apache renders for Apache httpd. The first ProxyPassMatch that matches counts, so the most specific comes first. All
// Location sections that match count, the last one most, so the most specific comes last.
type apache struct {
	*Config
	*printer
}

// check returns what Apache cannot do.
//
// Errors: Invalid.
func (a *apache) check() error {
	for _, part := range a.site.Parts {
		for _, app := range []App{API, Content} {
			if strings.TrimSpace(part.Snippets.Apache) != "" && strings.HasPrefix(a.address(app), "unix:") {
				return fmt.Errorf("proxyconf: %w: plugin %q: its snippet for Apache needs http://${%s}, which cannot name a "+
					"Unix socket; give the app a TCP address", pulperr.Invalid, part.Plugin, app.upstream())
			}
		}
	}
	return nil
}

func (a *apache) render(whole bool) {
	a.about(a.Config)
	if !whole {
		a.line("# The virtual host needs the modules headers, proxy, proxy_http and reqtimeout.")
		a.host(whole)
		return
	}
	a.gap()
	a.process()
	a.gap()
	for _, app := range []App{API, Content} {
		if address := a.address(app); !strings.HasPrefix(address, "unix:") {
			a.line("Define %s %s", app.upstream(), address)
		}
	}
	a.gap()
	address := a.options.Listen
	if isPort(address) {
		address = "*:" + address
	}
	a.block("<VirtualHost "+address+">", "</VirtualHost>", func() {
		a.names()
		a.tls()
		a.host(whole)
	})
}

// process writes what belongs to the whole program.
func (a *apache) process() {
	dir := a.options.Dir
	root, pid, log := "/etc/apache2", "/var/run/apache2/apache2.pid", "/var/log/apache2"
	if dir != "" {
		root, pid, log = dir, dir+"/apache.pid", dir
	}
	a.line("ServerRoot %s", root)
	a.line("ServerName localhost")
	a.line("PidFile %s", pid)
	a.line("ErrorLog %s/error.log", log)
	for _, m := range []string{
		"mpm_event", "authz_core", "headers", "log_config", "proxy", "proxy_http", "reqtimeout", "ssl", "unixd",
	} {
		if m == "ssl" && a.options.TLS == nil {
			continue
		}
		// Some distributions have one or the other in the program itself.
		a.block("<IfModule !"+m+"_module>", "</IfModule>", func() {
			a.line("LoadModule %s_module %s/mod_%[1]s.so", m, a.options.Modules)
		})
	}
	if dir != "" {
		a.line("Mutex file:%s", dir)
		a.line("DefaultRuntimeDir %s", dir)
	} else {
		a.line("User www-data")
		a.line("Group www-data")
	}
	a.line("CustomLog %s/access.log \"%%h %%l %%u %%t \\\"%%r\\\" %%>s %%b\"", log)
	a.line("Listen %s", a.options.Listen)
	a.line("ServerTokens Prod")
	a.line("TraceEnable Off")
	limits := a.site.Limits
	a.line("Timeout %d", seconds(orDefault(limits.SendTimeout, webserver.DefaultSendTimeout)))
	a.line("KeepAliveTimeout %d", seconds(orDefault(limits.IdleTimeout, defaultIdle)))
	a.line("MaxKeepAliveRequests 0")
	if a.options.TLS != nil {
		a.line("SSLSessionCache none") // TLS 1.3 and tickets need none
	}
}

// workers writes how the apps are connected.
func (a *apache) workers() {
	seen := map[string]bool{}
	for _, app := range []App{API, Content} {
		if seen[a.address(app)] {
			continue
		}
		seen[a.address(app)] = true
		a.block("<Proxy \""+a.backend(app)+"\">", "</Proxy>", func() {
			// Without retry, all requests fail for a minute after an app was down for a moment.
			a.line("ProxySet connectiontimeout=%d timeout=%d retry=0 ttl=%d",
				seconds(connectTimeout), seconds(answerTimeout), seconds(a.pooled()))
		})
		// The section is compared with the address of a request, from which new versions have removed the socket.
		host := regexp.QuoteMeta(strings.TrimPrefix(a.backend(app), a.address(app)+"|"))
		a.block(`<ProxyMatch "^(?:unix:[^|]*\|)?`+host+`(?:/|\z)">`, "</ProxyMatch>", a.common)
	}
}

func (a *apache) names() {
	names := slices.Clone(a.options.Names)
	for i, name := range names {
		if strings.HasPrefix(name, ".") {
			names[i] = "*" + name
			names = append(names, name[1:])
		}
	}
	if len(names) == 0 {
		a.line("ServerName localhost") // of a single virtual host, which answers to any
		return
	}
	if plain := slices.IndexFunc(names, func(n string) bool { return n[0] != '*' }); plain > 0 {
		names[0], names[plain] = names[plain], names[0] // ServerName takes no pattern
	}
	a.line("ServerName %s", names[0])
	if len(names) > 1 {
		a.line("ServerAlias %s", strings.Join(names[1:], " "))
	}
}

func (a *apache) tls() {
	t := a.options.TLS
	if t == nil {
		return
	}
	a.line("SSLEngine On")
	a.line("SSLCertificateFile %s", t.Certificate)
	a.line("SSLCertificateKeyFile %s", t.Key)
	a.line("SSLProtocol -all +TLSv1.2 +TLSv1.3")
	if t.AskClients {
		a.line("# content guards verify who issued the certificate")
		a.line("SSLVerifyClient optional_no_ca")
	}
}

// host writes what belongs into the virtual host.
func (a *apache) host(whole bool) {
	limits := a.site.Limits
	a.gap()
	a.line("AllowEncodedSlashes NoDecode")
	body := seconds(orDefault(limits.BodyTimeout, webserver.DefaultBodyTimeout))
	a.line("RequestReadTimeout header=%d body=%d,MinRate=%d",
		seconds(orDefault(limits.HeaderTimeout, webserver.DefaultHeaderTimeout)), body,
		max(1, webserver.MinBodyProgress/body))
	a.workers()
	a.overrides(whole)
	for _, part := range a.site.Parts {
		a.snippet(part.Plugin, part.Snippets.Apache)
	}
	a.gap()
	for _, n := range a.nodes {
		a.pass(n)
	}
	if a.others != nil && whole {
		a.pass(a.others)
	}
}

// pass leads the paths of a node to its app.
func (a *apache) pass(n *node) {
	// With nocanon the app gets the path as the client sent it. mod_proxy then compares the pattern with that, too,
	// which has the query behind it.
	const ends = end + `|\?`
	a.line("ProxyPassMatch \"%s\" \"%s\" nocanon", n.path.regexp(ends, n.claimed == nil), a.backend(n.app))
}

// backend returns the address of an app as ProxyPassMatch has it.
func (a *apache) backend(app App) string {
	address := a.address(app)
	if strings.HasPrefix(address, "unix:") {
		return address + "|http://" + app.upstream()
	}
	return "http://" + address
}

// overrides writes the headers of overrides, the least specific ones first.
func (a *apache) overrides(whole bool) {
	if a.others != nil && whole && len(a.others.headers) > 0 {
		a.override(a.others)
	}
	for _, n := range slices.Backward(a.nodes) {
		around := map[string]string{}
		switch {
		case n.parent != nil:
			around = n.parent.headers
		case a.others != nil && whole:
			around = a.others.headers
		}
		if !maps.Equal(n.headers, around) {
			a.override(n)
		}
	}
}

func (a *apache) override(n *node) {
	a.block("<LocationMatch \""+n.path.regexp(end, n.claimed == nil)+"\">", "</LocationMatch>", func() {
		for _, name := range slices.Sorted(maps.Keys(n.headers)) {
			value := n.headers[name]
			if value == "" {
				a.line("RequestHeader unset %s", name)
				continue
			}
			a.line("RequestHeader set %s \"%s\"", name, strings.NewReplacer(`"`, `\"`, `%`, `%%`).Replace(value))
		}
	})
}

// common writes what the apps get in place of headers of the client, however a request comes to them.
func (a *apache) common() {
	a.line("LimitRequestBody 0")
	a.line("ProxyPreserveHost On")
	// mod_proxy adds the address and the host of the client to these, and does not replace them.
	for _, name := range slices.Concat([]string{"X-Forwarded-For", "X-Forwarded-Host", "X-CLIENT-CERT"}, a.remove) {
		a.line("RequestHeader unset %s", name)
	}
	a.line("RequestHeader set X-Forwarded-Proto \"expr=%%{REQUEST_SCHEME}\"")
	a.block("<IfModule ssl_module>", "</IfModule>", func() {
		a.line("RequestHeader set X-CLIENT-CERT \"expr=%%{escape:%%{SSL_CLIENT_CERT}}\" \"expr=-n %%{SSL_CLIENT_CERT}\"")
	})
}

// seconds rounds a duration up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
