package proxyconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/webserver"
)

// nginx renders for nginx. A location is a prefix where that is possible. nginx takes the longest prefix, unless the
// first regular expression that matches, in the order of the file, comes before it: so what lies within a regular
// expression has to be one, too.
type nginx struct {
	*Config
	*printer

	taken map[string]bool // locations of snippets, and those that are written
}

func (n *nginx) render(whole bool) {
	n.about(n.Config)
	if !whole {
		n.line("# The server block needs the upstreams pulp-api and pulp-content beside it.")
		n.server(whole)
		return
	}
	n.gap()
	n.line("worker_processes auto;")
	if dir := n.options.Dir; dir != "" {
		n.line("pid %s/nginx.pid;", dir)
		n.line("error_log %s/error.log;", dir)
	}
	n.block("events {", "}", func() { n.line("worker_connections 1024;") })
	n.gap()
	n.block("http {", "}", func() { n.http() })
}

// http writes what belongs to all servers.
func (n *nginx) http() {
	if dir := n.options.Dir; dir != "" {
		n.line("access_log %s/access.log;", dir)
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			n.line("%s_temp_path %s/%[1]s_temp;", kind, dir)
		}
	}
	n.line("server_tokens off;")
	limits := n.site.Limits
	n.line("client_header_timeout %s;", nginxTime(orDefault(limits.HeaderTimeout, webserver.DefaultHeaderTimeout)))
	n.line("keepalive_timeout %s;", nginxTime(orDefault(limits.IdleTimeout, defaultIdle)))
	for _, app := range []App{API, Content} {
		n.gap()
		n.block("upstream "+app.upstream()+" {", "}", func() {
			n.line("server %s;", n.address(app))
			n.line("keepalive 32;")
			n.line("keepalive_timeout %s;", nginxTime(n.pooled()))
		})
	}
	n.gap()
	n.block("server {", "}", func() {
		listen := n.options.Listen
		if n.options.TLS != nil {
			listen += " ssl"
		}
		n.line("listen %s;", listen)
		if len(n.options.Names) > 0 {
			n.line("server_name %s;", strings.Join(n.options.Names, " "))
		}
		n.tls()
		n.gap()
		n.proxying()
		n.setHeaders(nil)
		n.server(true)
	})
}

func (n *nginx) tls() {
	t := n.options.TLS
	if t == nil {
		return
	}
	n.line("ssl_certificate %s;", t.Certificate)
	n.line("ssl_certificate_key %s;", t.Key)
	n.line("ssl_protocols TLSv1.2 TLSv1.3;")
	n.line("ssl_session_cache shared:pulp:10m;")
	if t.AskClients {
		n.line("ssl_verify_client optional_no_ca; # content guards verify who issued the certificate")
	}
}

// server writes the locations and the snippets.
func (n *nginx) server(whole bool) {
	n.taken = map[string]bool{}
	for _, s := range n.snippets {
		for _, match := range s.locations {
			n.taken[match] = true
		}
	}
	regexps := map[*node]bool{}
	for _, loc := range slices.Backward(n.nodes) { // parents first
		_, plain := loc.path.plain()
		regexps[loc] = !plain || loc.parent != nil && regexps[loc.parent]
	}
	for _, loc := range n.nodes {
		if regexps[loc] {
			n.location(fmt.Sprintf("~ \"%s\"", loc.path.regexp(end, loc.claimed == nil)), loc, whole)
			continue
		}
		text, _ := loc.path.plain()
		if !loc.path.multi {
			n.location("= "+text, loc, whole)
			continue
		}
		n.location(text, loc, whole)
		if len(loc.path.segments) > 0 {
			// nginx itself would redirect the path without the slash, with the address by which it knows itself.
			bare := loc
			if loc.claimed != nil {
				bare = loc.claimed
			}
			n.location("= "+strings.TrimSuffix(text, "/"), bare, whole)
		}
	}
	for _, part := range n.site.Parts {
		if s := n.snippets[part.Plugin]; s != nil {
			n.snippet(part.Plugin, s.with(n.headers(nil)))
		}
	}
	if n.others != nil && whole {
		n.location("/", n.others, whole)
	}
}

// location writes a location, unless a snippet has the same. inherits is set if the server has the directives.
func (n *nginx) location(match string, loc *node, inherits bool) {
	key := strings.Replace(match, "= ", "=", 1)
	if n.taken[key] {
		return
	}
	n.taken[key] = true
	n.gap()
	n.block("location "+match+" {", "}", func() {
		n.line("proxy_pass http://%s;", loc.app.upstream())
		if !inherits {
			n.proxying()
		}
		// A location inherits headers only if it sets none of its own.
		if !inherits || len(loc.headers) > 0 {
			n.setHeaders(loc.headers)
		}
	})
}

// proxying writes what all locations have in common.
func (n *nginx) proxying() {
	limits := n.site.Limits
	n.line("client_max_body_size 0;")
	n.line("client_body_timeout %s;", nginxTime(orDefault(limits.BodyTimeout, webserver.DefaultBodyTimeout)))
	n.line("send_timeout %s;", nginxTime(orDefault(limits.SendTimeout, webserver.DefaultSendTimeout)))
	n.line("proxy_http_version 1.1;")
	n.line("proxy_redirect off;")
	n.line("proxy_request_buffering off; # uploads of any size, without temporary files")
	n.line("proxy_buffering off; # the same for downloads; streams of events arrive at once")
	n.line("proxy_connect_timeout %s;", nginxTime(connectTimeout))
	n.line("proxy_send_timeout %s;", nginxTime(answerTimeout))
	n.line("proxy_read_timeout %s;", nginxTime(answerTimeout))
}

// headers returns the headers that an app gets in place of those of the client, by name and value. An empty value
// removes a header.
func (n *nginx) headers(own map[string]string) (list [][2]string) {
	list = [][2]string{
		{"Connection", `""`},
		{"Host", "$http_host"},
		{"X-Forwarded-For", "$remote_addr"},
		{"X-Forwarded-Host", "$http_host"},
		{"X-Forwarded-Proto", "$scheme"},
		{"X-CLIENT-CERT", "$ssl_client_escaped_cert"},
	}
	for _, name := range n.remove {
		if _, ok := own[name]; !ok {
			list = append(list, [2]string{name, `""`})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		list = append(list, [2]string{name, `"` + strings.ReplaceAll(own[name], `"`, `\"`) + `"`})
	}
	return list
}

func (n *nginx) setHeaders(own map[string]string) {
	for _, h := range n.headers(own) {
		n.line("proxy_set_header %s %s;", h[0], h[1])
	}
}

// nginxTime writes a duration, of at least a millisecond.
func nginxTime(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", int64(d/time.Second))
	}
	return fmt.Sprintf("%dms", max(1, d.Milliseconds()))
}
