//go:build linux

package proxyconf_test

import (
	"bufio"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// recorder is an app that answers with its name, the path as it came, and a header.
func recorder(t *testing.T, name string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != r.Header.Get("X-Forwarded-Host") {
			name = "the host of " + name + " is " + r.Host
		}
		fmt.Fprint(w, name, " ", r.RequestURI, " ", r.Header.Get("X-Own"))
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// plainSite has a route of each kind.
func plainSite() *proxyconf.Site {
	return &proxyconf.Site{APIRoot: "/pulp/", Parts: []proxyconf.Part{{Plugin: "core", Routes: []proxyconf.Route{
		{Pattern: "/pulp/api/v3/", To: proxyconf.API},
		{Pattern: "/pulp/content/", To: proxyconf.Content},
		{Pattern: "GET /pulp/{name}/files/{path...}", To: proxyconf.Content},
		{Pattern: "/exact", To: proxyconf.Content},
		{Pattern: "/only/{$}", To: proxyconf.Content},
	}}}}
}

// raw sends a path as it is, which the clients of net/http would not do.
func (x *proxy) raw(path string) string {
	x.t.Helper()
	conn, err := new(net.Dialer).DialContext(x.t.Context(), "tcp", x.host)
	must(x.t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Own: own\r\nConnection: close\r\n\r\n", path, x.host)
	must(x.t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(x.t, err)
	defer res.Body.Close()
	var body strings.Builder
	_, err = fmt.Fprint(&body, res.StatusCode, " ")
	must(x.t, err)
	_, err = bufio.NewReader(res.Body).WriteTo(&body)
	must(x.t, err)
	return body.String()
}

// TestProxyPaths sends paths that servers like to rewrite.
func TestProxyPaths(t *testing.T) {
	each(t, func(t *testing.T, p *program) {
		dir := folder(t)
		o := proxyconf.Options{Dir: dir, Modules: modules(), API: recorder(t, "api"), Content: recorder(t, "content")}
		x := p.start(t, dir, false, func(listen string) string {
			with := o
			with.Listen = listen
			conf, err := proxyconf.New(plainSite(), &with)
			must(t, err)
			return render(t, conf, p.kind)
		})
		for path, app := range map[string]string{
			"/pulp/content/a%2Fb/c%20d+e%2B":       "content",
			"/pulp/content/a//b/./c/../d":          "content",
			"/pulp/content/%E2%82%AC/%C3/%7e?%2F+": "content",
			"/pulp/content/a;b=c&d='(e)*,$f!@:":    "content",
			"/pulp/content/%25/%2525":              "content",
			"/pulp/content/../api/v3/x":            "api",
			"/pulp/content/%2E%2E/api/v3/x":        "api",
			"/pulp/content":                        "content",
			"/pulp/contents":                       "api",
			"/pulp/x/files/a%2Fb":                  "content",
			"/pulp/x/files":                        "content",
			"/pulp/x/file":                         "api",
			"/exact?query":                         "content",
			"/exact/":                              "api",
			"/only/":                               "content",
			"/only/x":                              "api",
			"/":                                    "api",
			"/elsewhere//%2F?":                     "api",
		} {
			if got, want := x.raw(path), fmt.Sprintf("200 %s %s own", app, path); got != want {
				t.Errorf("GET %s = %q, want %q", path, got, want)
			}
		}
		// The servers refuse a path above the root, and a zero byte.
		for _, path := range []string{"/../x", "/pulp/content/%00"} {
			if got := x.raw(path); !strings.HasPrefix(got, "400 ") && !strings.HasPrefix(got, "404 ") {
				t.Errorf("GET %s = %q, want 400 or 404", path, got)
			}
		}
	})
}

// TestProxySnippet includes the locations alone in a configuration of the host's own, which has other pages.
func TestProxySnippet(t *testing.T) {
	each(t, func(t *testing.T, p *program) {
		dir := folder(t)
		api, content := recorder(t, "api"), recorder(t, "content")
		conf, err := proxyconf.New(plainSite(), &proxyconf.Options{API: api, Content: content})
		must(t, err)
		var snippet strings.Builder
		must(t, conf.WriteSnippet(&snippet, p.kind))
		must(t, os.WriteFile(filepath.Join(dir, "snippet"), []byte(snippet.String()), 0o644)) //nolint:gosec // for the server
		x := p.start(t, dir, false, func(listen string) string {
			if p.kind == proxyconf.Nginx {
				return fmt.Sprintf(`pid %[1]s/pid; error_log %[1]s/error.log; events {} http {
					access_log off; client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
					uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
					upstream pulp-api { server %[2]s; } upstream pulp-content { server %[3]s; }
					server { listen %[4]s; location / { return 410; } include %[1]s/snippet; }
				}`, dir, api, content, listen)
			}
			modules := cmp.Or(modules(), proxyconf.DefaultModules)
			text := fmt.Sprintf("ServerRoot %s\nServerName own\nPidFile pid\nErrorLog error.log\nListen %s\nDefaultRuntimeDir %[1]s\n", dir, listen)
			for _, m := range []string{"mpm_event", "authz_core", "headers", "proxy", "proxy_http", "reqtimeout", "alias", "unixd"} {
				text += fmt.Sprintf("<IfModule !%s_module>\nLoadModule %[1]s_module %s/mod_%[1]s.so\n</IfModule>\n", m, modules)
			}
			return text + "<VirtualHost *>\nInclude snippet\nRedirect 410 /\n</VirtualHost>\n"
		})
		for path, want := range map[string]string{
			"/pulp/content/a%2Fb": "200 content /pulp/content/a%2Fb own", "/pulp/x": "200 api /pulp/x own",
			"/exact": "200 content /exact own", "/": "410 ", "/exactly": "410 ",
		} {
			if got := x.raw(path); !strings.HasPrefix(got, want) {
				t.Errorf("GET %s = %q, want %q", path, got, want)
			}
		}
	})
}

// TestProxyAcceptsRandomPatterns gives the servers the configurations of random patterns and headers.
func TestProxyAcceptsRandomPatterns(t *testing.T) {
	const rounds, tries = 20, 30
	each(t, func(t *testing.T, p *program) {
		dir, r := folder(t), rand.New(rand.NewPCG(1, 2))
		rendered := 0
		for range rounds {
			site := &proxyconf.Site{APIRoot: "/pulp/"}
			for range tries { // each part alone, or the faults of one would hide the others
				part := randomPart(r)
				alone := &proxyconf.Site{APIRoot: "/pulp/", Parts: append([]proxyconf.Part{part}, site.Parts...)}
				if _, err := proxyconf.New(alone, nil); err == nil {
					site.Parts = alone.Parts
				}
			}
			conf, err := proxyconf.New(site, &proxyconf.Options{Dir: dir, Modules: modules(), Listen: freeAddress(t)})
			must(t, err)
			rendered += len(site.Parts)
			if err := p.accepts(t, dir, render(t, conf, p.kind)); err != nil {
				t.Errorf("%+v: %v", site, err)
			}
		}
		t.Logf("%d of %d parts were rendered", rendered, tries*rounds)
		if rendered < rounds {
			t.Error("too few parts are left")
		}
	})
}

// randomPart returns a route and an override with texts that mean something in the languages of the servers.
func randomPart(r *rand.Rand) proxyconf.Part {
	signs := []string{
		"a", "b", "é", "\"", "'", "$", "{", "}", "${x}", "%{x}e", ";", "#", "\\", "\n", " ", "%20", "%22", "%24", "%7B", "%0A", "<", ">",
		"|", "(", "[", "*", "^", "?", "%", "expr=", "/", "\x00", "\x80", "~", "=", "\\n", "</Location>", "{w}", "/{r...}",
	}
	word := func(n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteString(signs[r.IntN(len(signs))])
		}
		return b.String()
	}
	pattern := "/" + word(4)
	return proxyconf.Part{
		Plugin:    "random",
		Routes:    []proxyconf.Route{{Pattern: pattern, To: proxyconf.App(1 + r.IntN(2))}},
		Overrides: []proxyconf.Override{{Pattern: pattern, Headers: map[string]string{"X-" + []string{"A", "b", "-", "c c", "d:"}[r.IntN(5)]: word(4)}}},
	}
}
