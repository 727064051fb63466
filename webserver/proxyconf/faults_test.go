package proxyconf_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	api := func(pattern string) proxyconf.Part {
		return proxyconf.Part{Plugin: "one", Routes: []proxyconf.Route{{Pattern: pattern, To: proxyconf.API}}}
	}
	served := func(pattern string) proxyconf.Part {
		return proxyconf.Part{Plugin: "two", Routes: []proxyconf.Route{{Pattern: pattern, To: proxyconf.Content}}}
	}
	override := func(pattern, name, value string) proxyconf.Part {
		return proxyconf.Part{Plugin: "two", Overrides: []proxyconf.Override{
			{Pattern: pattern, Headers: map[string]string{name: value}},
		}}
	}
	for _, tt := range []struct {
		name  string
		parts []proxyconf.Part
		want  string // "" for none
	}{
		{"nested", []proxyconf.Part{api("/a/"), served("/a/{x}/b")}, ""},
		{"a method within the API's root", []proxyconf.Part{served("GET /pulp/{x}/b")}, ""},
		{"a host", []proxyconf.Part{served("h.example/a/")}, ""},
		{"methods of one app", []proxyconf.Part{served("GET /a/{x}/b"), served("POST /a/c/{y}")}, ""},
		{"an override above routes", []proxyconf.Part{api("/a/b/"), override("/a/", "X-Foo", "")}, ""},
		{"a header that clients send", []proxyconf.Part{override("/pulp/a/", "accept-language", "de")}, ""},

		{"methods", []proxyconf.Part{api("GET /a/{x}"), served("POST /a/{y}")}, `plugin "one": route "GET /a/{x}" and plugin "two": ` +
			`route "POST /a/{y}" lead to different apps and differ by method or host only`},
		{"a method below", []proxyconf.Part{api("/a/"), served("GET /a/b")}, "lead to different apps"},
		{"a host below", []proxyconf.Part{api("/a/"), served("h.example/a/b")}, "lead to different apps"},
		{"crossing", []proxyconf.Part{api("GET /a/{x}/b"), served("POST /a/c/{y}")}, "lead to different apps"},
		{"a crossing override", []proxyconf.Part{served("/a/{x}/b"), override("/a/c/{y}", "X-Foo", "1")}, "neither is more specific"},
		{"no pattern", []proxyconf.Part{api("/a/{")}, `plugin "one": route "/a/{": pattern`},
		{"a newline", []proxyconf.Part{api("/a\n}")}, `the segment "a\n}" has a control character`},
		{"a zero byte", []proxyconf.Part{api("/a%00")}, "has a control character"},
		{"dots", []proxyconf.Part{api("/a/%2e%2E/b")}, "is removed from paths by proxies"},
		{"an encoded slash", []proxyconf.Part{api("/a%2Fb")}, "has an encoded slash"},
		{"long", []proxyconf.Part{api("/" + strings.Repeat("a", 600))}, "the pattern has 601 bytes; at most 512"},

		{"elsewhere", []proxyconf.Part{override("/a/", "X-Foo", "1")}, `plugin "two": override "/a/": nothing is served there`},
		{"a method of an override", []proxyconf.Part{override("GET /pulp/", "X-Foo", "1")}, "has a method or a host"},
		{"a variable", []proxyconf.Part{override("/pulp/", "X-Foo", "$host")}, `plugin "two": override "/pulp/": header "X-Foo": ` +
			`the value "$host" cannot be quoted`},
		{"a line", []proxyconf.Part{override("/pulp/", "X-Foo", "a\r\nb")}, "cannot be quoted"},
		{"a backslash", []proxyconf.Part{override("/pulp/", "X-Foo", `a\n`)}, "cannot be quoted"},
		{"an expression", []proxyconf.Part{override("/pulp/", "X-Foo", "expr=x")}, "cannot be quoted"},
		{"an umlaut", []proxyconf.Part{override("/pulp/", "X-Foo", "ä")}, "cannot be quoted"},
		{"a long value", []proxyconf.Part{override("/pulp/", "X-Foo", strings.Repeat("a", 2000))}, "the value has 2000 bytes"},
		{"a name in two lines", []proxyconf.Part{override("/pulp/", "X\n", "")}, "letters, digits and hyphens"},
		{"the host", []proxyconf.Part{override("/pulp/", "host", "x")}, "belongs to the connection"},
		{"a certificate", []proxyconf.Part{override("/pulp/", "X-CLIENT-CERT", "x")}, "the proxy itself sets or removes it"},
		{"no headers", []proxyconf.Part{{Plugin: "two", Overrides: []proxyconf.Override{{Pattern: "/pulp/"}}}}, "there are no headers"},
		{"a header twice", []proxyconf.Part{{Plugin: "two", Overrides: []proxyconf.Override{
			{Pattern: "/pulp/", Headers: map[string]string{"foo": "", "FOO": ""}},
		}}}, "is there twice"},
		{
			"half a block",
			[]proxyconf.Part{{Plugin: "two", Snippets: proxyconf.Snippets{Nginx: "location / {"}}},
			`plugin "two": the snippet for nginx: it ends within a block`,
		},
		{
			"a byte",
			[]proxyconf.Part{{Plugin: "two", Snippets: proxyconf.Snippets{Apache: "\x00"}}},
			`plugin "two": the snippet for apache: it has a control character`,
		},
	} {
		_, err := proxyconf.New(&proxyconf.Site{APIRoot: "/pulp/", Parts: tt.parts}, nil)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: New() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    proxyconf.Options
		want string
	}{
		{proxyconf.Options{API: "[::1]:80", Content: "unix:/a/b.sock", Names: []string{".a.example", "b"}, Listen: "[::]:1"}, ""},
		{proxyconf.Options{API: "api.local:80", Listen: "10.0.0.1:80", Dir: "/a", Modules: "/b"}, ""},
		{proxyconf.Options{API: "127.0.0.1"}, `API: "127.0.0.1" is not an address`},
		{proxyconf.Options{API: "a;b:80"}, `API: "a;b:80" is not an address`},
		{proxyconf.Options{Content: "unix:a.sock"}, `Content: "unix:a.sock" is not an address`},
		{proxyconf.Options{Content: "unix:/a b"}, "is not an address"},
		{proxyconf.Options{Names: []string{"a b"}}, `Names: "a b" is not the name of a host`},
		{proxyconf.Options{Names: []string{"a\n"}}, "is not the name of a host"},
		{proxyconf.Options{Listen: "0"}, `Listen: "0" is not a port`},
		{proxyconf.Options{Listen: "80;"}, "is not a port"},
		{proxyconf.Options{Dir: "a"}, `Dir: "a" is not an absolute path`},
		{proxyconf.Options{Modules: "/a$b"}, "Modules: "},
		{proxyconf.Options{TLS: &proxyconf.TLS{Certificate: "/a"}}, `TLS.Key: "" is not an absolute path`},
	} {
		_, err := proxyconf.New(plainSite(), &tt.o)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("New(%+v) = %v, want %q", tt.o, err, tt.want)
		}
	}
	conf, err := proxyconf.New(plainSite(), &proxyconf.Options{Names: []string{".a.example", "b"}})
	must(t, err)
	for server, want := range map[proxyconf.Server]string{
		proxyconf.Nginx:  "        server_name .a.example b;\n",
		proxyconf.Apache: "    ServerName b\n    ServerAlias *.a.example a.example\n", // ServerName takes no pattern
	} {
		var text strings.Builder
		must(t, conf.Write(&text, server))
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s has not %q: %s", server, want, text.String())
		}
	}
	if err := conf.Write(new(strings.Builder), "caddy"); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("Write(caddy) = %v", err)
	}
	site := plainSite()
	site.Parts[0].Snippets.Apache = "# lines"
	conf, err = proxyconf.New(site, &proxyconf.Options{API: "unix:/a"})
	must(t, err)
	if err := conf.Write(new(strings.Builder), proxyconf.Apache); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("Write of a snippet with a Unix socket = %v", err)
	}
	must(t, conf.Write(new(strings.Builder), proxyconf.Nginx))
}

// A location of a snippet has the headers that it does not set itself, and takes the place of the rendered one.
func TestSnippetsOfNginx(t *testing.T) {
	t.Parallel()
	site := plainSite()
	site.Parts = append(site.Parts, proxyconf.Part{Plugin: "one", Snippets: proxyconf.Snippets{Nginx: `
# location /comment { }
location = /exact { # {
    if ($request_method = "P;{OST") { proxy_pass http://pulp-api; }
    proxy_set_header x-forwarded-HOST ${http_host};
    proxy_pass http://pulp-content;
    location ~ ^/inner { proxy_pass http://pulp-api; }
}
location /static/ { return 204 '}'; }
`}})
	conf, err := proxyconf.New(site, nil)
	must(t, err)
	var out strings.Builder
	must(t, conf.WriteSnippet(&out, proxyconf.Nginx))
	_, snippet, _ := strings.Cut(out.String(), "# snippet of plugin \"one\"\n")
	if strings.Count(out.String(), "location = /exact {") != 1 {
		t.Errorf("the location is there twice: %s", out.String())
	}
	for text, want := range map[string]int{
		"proxy_set_header X-CLIENT-CERT": 2, "proxy_set_header X-Forwarded-Host": 1, "proxy_set_header x-forwarded-HOST": 1,
		"proxy_set_header Host": 2,
	} {
		if got := strings.Count(snippet, text); got != want {
			t.Errorf("%q is there %d times, want %d: %s", text, got, want, snippet)
		}
	}
}
