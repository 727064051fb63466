package webserver_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	origins, err := webserver.TrustOrigins("https://Console.Example", "http://127.0.0.1:8080", "https://a.example:443")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, site, origin string
		want                 bool
	}{
		{"POST", "", "", true}, // no browser
		{"POST", "same-origin", "http://pulp.example", true},
		{"POST", "none", "", true}, // typed by the user
		{"POST", "", "http://pulp.example", true},
		{"GET", "cross-site", "https://evil.example", true},
		{"POST", "cross-site", "https://evil.example", false},
		{"POST", "same-site", "http://sub.pulp.example", false},
		{"POST", "cross-site", "null", false},
		{"POST", "cross-site", "", false},
		{"POST", "", "https://evil.example", false},
		{"DELETE", "cross-site", "https://evil.example", false},
		{"PATCH", "cross-site", "https://console.example", true},
		{"PUT", "cross-site", "http://127.0.0.1:8080", true},
		{"PUT", "cross-site", "http://127.0.0.1:8081", false},
		{"PUT", "cross-site", "https://a.example", true},
	} {
		called := false
		h := origins.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
		r := httptest.NewRequest(tt.method, "http://pulp.example/x", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Origin": tt.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if called != tt.want || (w.Code == http.StatusForbidden) == tt.want {
			t.Errorf("%s, site %q, origin %q: %d, passed %t, want %t", tt.method, tt.site, tt.origin, w.Code, called, tt.want)
		}
		body, _ := io.ReadAll(w.Body)
		if !tt.want && (w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(string(body), `{"detail":"`) ||
			!strings.Contains(string(body), tt.origin)) {
			t.Errorf("refusal = %v %s", w.Header(), body)
		}
	}
}

func TestTrustOrigins(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{
		"", "pulp.example", "https://", "https://*.example", "ftp://a.example", "https://a.example/", "https://a.example/x",
		"https://a.example?x", "https://a.example#x", "https://u@a.example", "https://a b", "null", "https://:80",
	} {
		_, err := webserver.TrustOrigins("https://fine.example", wrong, "https://fine2.example")
		if !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), "fine") {
			t.Errorf("TrustOrigins(%q) = %v", wrong, err)
		}
	}
}

func TestCameTo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		origin, host string
		want         bool
	}{
		{"https://content.example", "content.example", true},
		{"https://content.example", "Content.Example:443", true},
		{"https://content.example:443", "content.example", true},
		{"http://content.example:8080", "content.example:8080", true},
		{"http://content.example:8080", "content.example", false},
		{"https://content.example", "content.example:8080", false},
		{"https://content.example", "pulp.example", false},
		{"https://content.example", "content.example/x", false},
		{"https://content.example", "", false},
		{"", "", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tt.host
		if got := webserver.CameTo(tt.origin, r); got != tt.want {
			t.Errorf("CameTo(%q, %q) = %t, want %t", tt.origin, tt.host, got, tt.want)
		}
	}
}
