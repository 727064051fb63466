package pulpcore_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// TestProxyConfig renders what settings and plugins say. Package proxyconf tests the configurations with real servers.
func TestProxyConfig(t *testing.T) {
	t.Parallel()
	other := &pulpcore.Plugin{Name: "other", Version: "1", Content: []content.Route{
		{Pattern: "/other/", Handler: http.NotFoundHandler()},
	}}
	set, err := settings.Load(
		settings.Value("LISTEN", ":1234"), settings.Value("API_ROOT", "/base/"), settings.Value("CONTENT_PATH_PREFIX", "/files/"),
		settings.Value("HTTP_BODY_TIMEOUT", "7s"), settings.Value("ENABLED_PLUGINS", []string{"notes"}))
	if err != nil {
		t.Fatal(err)
	}
	notes := notesPlugin()
	notes.ProxyOverrides = []proxyconf.Override{{Pattern: "/notes/{id}/", Headers: map[string]string{"X-Note": "yes"}}}
	notes.ProxySnippets.Nginx = "location /static/ { root /srv; }\n"
	conf, err := pulpcore.ProxyConfig(set, nil, notes, other)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := conf.Write(&text, proxyconf.Nginx); err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{
		"server 127.0.0.1:1234;": 2, "client_body_timeout 7s;": 1, "location /base/ {\n            proxy_pass http://pulp-api;": 1,
		"location /files/ {\n            proxy_pass http://pulp-content;": 1, "location /raw/ {": 1, "proxy_set_header X-Note \"yes\";": 1,
		"location /static/ { root /srv; }": 1, "/other/": 0,
	} {
		if got := strings.Count(text.String(), want); got != times {
			t.Errorf("%q is there %d times, want %d:\n%s", want, got, times, text.String())
		}
	}
}

// Open reports what a plugin declares for proxies and what cannot be rendered. Patterns of routes are reported by
// ProxyConfig only: a host without a proxy can use them.
func TestFaultsForProxies(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	p := &pulpcore.Plugin{
		Name: "notes", Version: "1",
		ProxyOverrides: []proxyconf.Override{{Pattern: "/notes/", Headers: map[string]string{"X-Note": "$x"}}},
		ProxySnippets:  proxyconf.Snippets{Nginx: "}"},
	}
	_, err = pulpcore.Open(t.Context(), set, p)
	for _, want := range []string{
		`plugin "notes": override "/notes/": header "X-Note": the value "$x" cannot be quoted`,
		`plugin "notes": the snippet for nginx: a closing brace has no block`,
	} {
		if !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open() = %v, want %s", err, want)
		}
	}
	odd := &pulpcore.Plugin{Name: "odd", Version: "1", Content: []content.Route{
		{Pattern: "/odd%2Fpath", Handler: http.NotFoundHandler()},
	}}
	_, err = pulpcore.ProxyConfig(set, nil, odd)
	if want := `plugin "odd": route "/odd%2Fpath": the segment`; !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("ProxyConfig() = %v, want %s", err, want)
	}
	app, err := pulpcore.Open(t.Context(), set, odd)
	if err != nil {
		t.Fatalf("Open() = %v without a proxy", err)
	}
	if err := app.Close(); err != nil {
		t.Error(err)
	}
}
