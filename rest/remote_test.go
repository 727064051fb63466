package rest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newPair returns a certificate and its private key as PEM.
func newPair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}))
}

// TestRemoteFaults refuses what each download from the remote would fail with: when it is created, and when an update
// brings it.
func TestRemoteFaults(t *testing.T) {
	cert, key := newPair(t, "a")
	_, other := newPair(t, "b")
	broken := strings.Replace(cert, "MII", "***", 1)
	each(t, func(t *testing.T, b *bundle) {
		good := b.create("remotes/file/file/", map[string]any{"name": "good", "url": "http://x.example/"})
		for _, tt := range []struct {
			name   string
			body   map[string]any
			fields []string
		}{
			{"credentials in the proxy", map[string]any{"proxy_url": "http://u:secret@127.0.0.1:3128"}, []string{"proxy_url"}},
			{"a proxy that is no URL", map[string]any{"proxy_url": "not a url"}, []string{"proxy_url"}},
			{"a proxy of another scheme", map[string]any{"proxy_url": "ftp://x.example"}, []string{"proxy_url"}},
			{
				"half of the proxy's credentials",
				map[string]any{"proxy_url": "http://x.example", "proxy_username": "u"},
				[]string{"proxy_username"},
			},
			{"proxy credentials without a proxy", map[string]any{"proxy_username": "u"}, []string{"non_field_errors"}},
			{"no certificate", map[string]any{"ca_cert": "garbage"}, []string{"ca_cert"}},
			{"a key in place of a certificate", map[string]any{"ca_cert": key}, []string{"ca_cert"}},
			{"a broken certificate beside a good one", map[string]any{"ca_cert": cert + broken}, []string{"ca_cert"}},
			{"a client certificate without key", map[string]any{"client_cert": cert}, []string{"client_key"}},
			{"a key without client certificate", map[string]any{"client_key": key}, []string{"client_cert"}},
			{"a key of another certificate", map[string]any{"client_cert": cert, "client_key": other}, []string{"client_cert"}},
			{"a colon in the username", map[string]any{"username": "a:b", "password": "p"}, []string{"username"}},
			{"a password without username", map[string]any{"password": "p"}, []string{"password"}},
			{"a blank in a header's name", map[string]any{"headers": []any{map[string]any{"a b": "c"}}}, []string{"headers"}},
			{"a line feed in a header", map[string]any{"headers": []any{map[string]any{"A": "b\nC: d"}}}, []string{"headers"}},
			{"a negative rate", map[string]any{"rate_limit": -1}, []string{"rate_limit"}},
			{"negative retries", map[string]any{"max_retries": -1}, []string{"max_retries"}},
			{"another scheme", map[string]any{"url": "ftp://h/x"}, []string{"url"}},
			{"no URL", map[string]any{"url": "not a url"}, []string{"url"}},
			{"a script", map[string]any{"url": "javascript:alert(1)"}, []string{"url"}},
			{"no host", map[string]any{"url": "http:///x"}, []string{"url"}},
			{
				"many faults",
				map[string]any{"url": "x", "rate_limit": -1, "ca_cert": "x", "username": "a:b"},
				[]string{"ca_cert", "rate_limit", "url", "username"},
			},
		} {
			body := map[string]any{"name": "x", "url": "http://x.example/"}
			maps.Copy(body, tt.body)
			for method, target := range map[string]string{"POST": "remotes/file/file/", "PATCH": good} {
				a := b.do(method, target, body)
				got, _ := a.JSON().(map[string]any)
				fields := slices.Sorted(maps.Keys(got))
				if d := cmp.Diff(tt.fields, fields); a.status != 400 || d != "" {
					t.Errorf("%s with %s = %d %s (-want +got):\n%s", method, tt.name, a.status, a.body, d)
				}
				if strings.Contains(string(a.body), "secret") {
					t.Errorf("%s with %s tells the password: %s", method, tt.name, a.body)
				}
			}
		}
		b.create("remotes/file/file/", map[string]any{
			"name": "all", "url": "https://x.example/a b?c=d", "proxy_url": "socks5://x.example:1080", "proxy_username": "u",
			"proxy_password": "p", "username": "u", "headers": []any{map[string]any{"A": "b"}}, "rate_limit": 0,
			"total_timeout": 1e300, "ca_cert": cert, "client_cert": cert, "client_key": key,
		})
	})
}

// TestCertificates keeps certificates and nothing else of a PEM text, each line ended.
func TestCertificates(t *testing.T) {
	cert, key := newPair(t, "a")
	second, _ := newPair(t, "b")
	each(t, func(t *testing.T, b *bundle) {
		remote := b.create("remotes/file/file/", map[string]any{
			"name": "x", "url": "http://x.example/", "ca_cert": "Issuer: a\n" + cert + "\nIssuer: b\n" + strings.TrimSpace(second),
			"client_cert": cert + key, "client_key": key,
		})
		want := map[string]any{"ca_cert": cert + second, "client_cert": cert}
		if d := cmp.Diff(want, pick(b.do("GET", remote, nil), "ca_cert", "client_cert")); d != "" {
			t.Errorf("certificates (-want +got):\n%s", d)
		}
		b.do("PATCH", remote, map[string]any{"ca_cert": cert + second}).want(200)
		b.completed("PATCH", remote, map[string]any{"ca_cert": strings.ReplaceAll(second, "\n", "\r\n")})
		if got := b.do("GET", remote, nil).str("ca_cert"); got != second {
			t.Errorf("ca_cert = %q, want %q", got, second)
		}
	})
}
