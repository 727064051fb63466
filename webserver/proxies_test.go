package webserver_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

// forwarded is what a handler behind proxies sees.
type forwarded struct{ Address, Scheme, Host string }

func TestProxies(t *testing.T) {
	t.Parallel()
	proxies, err := webserver.TrustProxies("10.0.0.0/8", "192.168.0.1", "fd00::/8", "unix")
	if err != nil {
		t.Fatal(err)
	}
	const proxy, stranger = "10.1.2.3:4711", "203.0.113.9:5"
	h := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for _, test := range []struct {
		name, peer string
		said       http.Header
		want       forwarded
	}{
		{"nothing said", proxy, h(), forwarded{"10.1.2.3", "http", "here"}},
		{
			"everything said", proxy, h("X-Forwarded-For", "198.51.100.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "pulp.example"),
			forwarded{"198.51.100.7", "https", "pulp.example"},
		},
		{
			"by a stranger", stranger, h("X-Forwarded-For", "1.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"),
			forwarded{"203.0.113.9", "http", "here"},
		},
		{"made up by the client", proxy, h("X-Forwarded-For", "1.1.1.1, 198.51.100.7"), forwarded{"198.51.100.7", "http", "here"}},
		{"in two lines", proxy, h("X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "198.51.100.7"), forwarded{"198.51.100.7", "http", "here"}},
		{"two proxies", proxy, h("X-Forwarded-For", "1.1.1.1, 198.51.100.7, 192.168.0.1"), forwarded{"198.51.100.7", "http", "here"}},
		{"only proxies", proxy, h("X-Forwarded-For", "10.0.0.9, 192.168.0.1"), forwarded{"10.0.0.9", "http", "here"}},
		{"nonsense", proxy, h("X-Forwarded-For", "1.1.1.1, unknown"), forwarded{"10.1.2.3", "http", "here"}},
		{"nonsense before a proxy", proxy, h("X-Forwarded-For", "unknown, 192.168.0.1"), forwarded{"192.168.0.1", "http", "here"}},
		{"with a port", proxy, h("X-Forwarded-For", "[2001:db8::1]:99"), forwarded{"2001:db8::1", "http", "here"}},
		{"IPv6 with a zone", "[fd00::1%eth0]:1", h("X-Forwarded-For", "2001:db8::2"), forwarded{"2001:db8::2", "http", "here"}},
		{"IPv4 within IPv6", "[::ffff:10.0.0.1]:1", h("X-Forwarded-For", "198.51.100.7"), forwarded{"198.51.100.7", "http", "here"}},
		{"a Unix socket", "@", h("X-Forwarded-For", "198.51.100.7"), forwarded{"198.51.100.7", "http", "here"}},
		{"two schemes", proxy, h("X-Forwarded-Proto", "https,http"), forwarded{"10.1.2.3", "http", "here"}},
		{"an odd scheme", proxy, h("X-Forwarded-Proto", "javascript"), forwarded{"10.1.2.3", "http", "here"}},
		{"two hosts", proxy, h("X-Forwarded-Host", "a", "X-Forwarded-Host", "b"), forwarded{"10.1.2.3", "http", "here"}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host, r.Header = test.peer, "here", test.said
		r.Header.Set("Forwarded", "for=1.1.1.1")
		r.Header.Set("X-Real-IP", "1.1.1.1")
		r.Header.Set("Accept", "text/plain")
		var got forwarded
		see := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = forwarded{webserver.AddressOf(r), webserver.SchemeOf(r), r.Host}
			if len(r.Header) != 1 {
				t.Errorf("%s: the handler sees the header %v", test.name, r.Header)
			}
		})
		twice := proxies.Handler(proxies.Handler(see)) // as a host may have it
		twice.ServeHTTP(httptest.NewRecorder(), r)
		if got != test.want {
			t.Errorf("%s: the handler sees %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestClientCertificateOf(t *testing.T) {
	t.Parallel()
	proxies, err := webserver.TrustProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, peer string
		sent       []string
		want       string
	}{
		{"by a proxy", "10.1.2.3:1", []string{"-----BEGIN%20"}, "-----BEGIN%20"},
		{"by a stranger", "203.0.113.9:1", []string{"-----BEGIN%20"}, ""},
		{"twice", "10.1.2.3:1", []string{"a", "b"}, ""},
		{"two in one line", "10.1.2.3:1", []string{"a,b"}, ""},
		{"not at all", "10.1.2.3:1", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header["X-Client-Cert"] = test.peer, test.sent
		// The client's address is one of a proxy, so an inner handler would trust it.
		r.Header.Set("X-Forwarded-For", "10.9.9.9")
		if got := webserver.ClientCertificateOf(r); got != "" {
			t.Errorf("%s: without Proxies: %q, want none", test.name, got)
		}
		see := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := webserver.ClientCertificateOf(r); got != test.want || len(r.Header) != 0 {
				t.Errorf("%s: %q, headers %v, want %q", test.name, got, r.Header, test.want)
			}
		})
		proxies.Handler(proxies.Handler(see)).ServeHTTP(httptest.NewRecorder(), r)
	}
}

func TestNoProxies(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "https://here/", nil)
	r.RemoteAddr, r.TLS = "127.0.0.1:1", &tls.ConnectionState{}
	r.Header.Set("X-Forwarded-Proto", "http")
	(*webserver.Proxies)(nil).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if webserver.SchemeOf(r) != "https" || webserver.AddressOf(r) != "127.0.0.1" || len(r.Header) != 0 {
			t.Errorf("seen: %s, %s, %v", webserver.SchemeOf(r), webserver.AddressOf(r), r.Header)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

func TestTrustProxiesNamesFaults(t *testing.T) {
	t.Parallel()
	_, err := webserver.TrustProxies("10.0.0.1", "proxy.example", "10.0.0.0/40", "fe80::1%eth0", "")
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("TrustProxies = %v, want Invalid", err)
	}
	for _, want := range []string{`"proxy.example"`, `"10.0.0.0/40"`, `"fe80::1%eth0"`, `""`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"10.1.2.3:4": "10.1.2.3", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[::ffff:10.1.2.3]:4": "10.1.2.3", "@": "@",
	} {
		if got := webserver.SourceOf(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("SourceOf(%s) = %s, want %s", remote, got, want)
		}
	}
}

func FuzzProxies(f *testing.F) {
	f.Add("10.0.0.1:1", "1.1.1.1, 10.0.0.2", "https", "a")
	f.Add("@", "[::1]:1,", "", "b:1")
	proxies, err := webserver.TrustProxies("10.0.0.0/8", "unix")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, peer, client, proto, host string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = peer, "here"
		r.Header = http.Header{"X-Forwarded-For": {client}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host}}
		proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if s := webserver.SchemeOf(r); s != "http" && s != "https" {
				t.Errorf("scheme %q", s)
			}
			webserver.SourceOf(r)
			webserver.AddressOf(r)
		})).ServeHTTP(httptest.NewRecorder(), r)
	})
}

// What hands on a copy of the request removes the files that its handler parsed from that.
func TestFilesOfForms(t *testing.T) {
	uploads := nettest.NewUploads(t)
	for name, h := range map[string]http.Handler{
		"proxies":    new(webserver.Proxies).Handler(uploads),
		"access log": (&webserver.AccessLog{Log: slog.New(slog.DiscardHandler)}).Handler(uploads),
		"limits":     new(webserver.Limits).Handler(uploads),
	} {
		h.ServeHTTP(httptest.NewRecorder(), uploads.Request("/"))
		if files := uploads.Files(); len(files) != 0 {
			t.Errorf("%s: files that are left: %q", name, files)
		}
	}
}
