package download_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// newIdentity makes a self-signed client certificate and its key.
func newIdentity(t *testing.T) (cert *x509.Certificate, certText, keyText string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "mirror"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, certPEM(cert), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func serveTLS(t *testing.T, h http.Handler, conf *tls.Config) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = conf
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// whoami answers with the client's certificate name.
func whoami(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) == 0 {
		_, _ = io.WriteString(w, "nobody")
		return
	}
	_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	identity, cert, key := newIdentity(t)
	pool := x509.NewCertPool()
	pool.AddCert(identity)
	open := serveTLS(t, http.HandlerFunc(whoami), &tls.Config{})
	closed := serveTLS(t, http.HandlerFunc(whoami), &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	ca := certPEM(open.Certificate())
	none := 0
	tests := []struct {
		name string
		url  string
		cfg  download.Config
		body string
		code string
	}{
		{"unknown authority", open.URL, download.Config{}, "", "PLP0026"},
		{"authority given", open.URL, download.Config{CACert: "some text\n" + ca + "more"}, "nobody", ""},
		{"verification off", open.URL, download.Config{SkipTLSVerify: true}, "nobody", ""},
		{"client certificate missing", closed.URL, download.Config{CACert: ca}, "", "PLP0026"},
		{"client certificate given", closed.URL, download.Config{CACert: ca, ClientCert: cert, ClientKey: key}, "mirror", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.MaxRetries = &none
			var sink memory
			_, err := newClient(t, tt.cfg).Stream(t.Context(), &download.Request{URL: tt.url}, &sink)
			if got := pulperr.Code(err); got != tt.code || sink.String() != tt.body {
				t.Fatalf("Stream = %q, %v (code %q), want %q and code %q", sink.String(), err, got, tt.body, tt.code)
			}
		})
	}
}

// The client certificate is an identity for the host that the caller named, not for those it redirects to.
func TestClientCertificateStaysHome(t *testing.T) {
	t.Parallel()
	_, cert, key := newIdentity(t)
	conf := func() *tls.Config { return &tls.Config{ClientAuth: tls.RequestClientCert} }
	other := serveTLS(t, http.HandlerFunc(whoami), conf())
	var home *httptest.Server
	home = serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/home":
			http.Redirect(w, r, home.URL+"/", http.StatusFound)
		default:
			whoami(w, r)
		}
	}), conf())
	c := newClient(t, download.Config{CACert: certPEM(home.Certificate()), ClientCert: cert, ClientKey: key})
	for path, want := range map[string]string{"/": "mirror", "/home": "mirror", "/away": "nobody"} {
		var got bytes.Buffer
		if _, err := c.Stream(t.Context(), &download.Request{URL: home.URL + path}, download.Once(&got)); err != nil {
			t.Fatalf("Stream(%q) = %v", path, err)
		}
		if got.String() != want {
			t.Errorf("Stream(%q) showed %q, want %q", path, got.String(), want)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	_, cert, key := newIdentity(t)
	_, _, otherKey := newIdentity(t)
	negative := -1
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name   string
		cfg    download.Config
		fields []string
	}{
		{"no certificate in ca_cert", download.Config{CACert: "hello"}, []string{"ca_cert"}},
		{"broken block in ca_cert", download.Config{CACert: cert + broken}, []string{"ca_cert"}},
		{"key in ca_cert", download.Config{CACert: key}, []string{"ca_cert"}},
		{"certificate without key", download.Config{ClientCert: cert}, []string{"client_key"}},
		{"key without certificate", download.Config{ClientKey: key}, []string{"client_cert"}},
		{"key of another", download.Config{ClientCert: cert, ClientKey: otherKey}, []string{"client_cert"}},
		{"password alone", download.Config{Password: "x"}, []string{"password"}},
		{"colon in username", download.Config{Username: "a:b"}, []string{"username"}},
		{"proxy credentials in URL", download.Config{ProxyURL: "http://u:p@proxy"}, []string{"proxy_url"}},
		{"proxy scheme", download.Config{ProxyURL: "ftp://proxy"}, []string{"proxy_url"}},
		{"proxy without host", download.Config{ProxyURL: "proxy:3128"}, []string{"proxy_url"}},
		{"proxy user alone", download.Config{ProxyURL: "http://p", ProxyUsername: "u"}, []string{"proxy_username"}},
		{"proxy user without proxy", download.Config{ProxyUsername: "u", ProxyPassword: "p"}, []string{"proxy_url"}},
		{"header name", download.Config{Headers: http.Header{"a b": {"x"}}}, []string{"headers"}},
		{"header value", download.Config{Headers: http.Header{"A": {"x\r\nEvil: 1"}}}, []string{"headers"}},
		{
			"two authorizations",
			download.Config{Username: "u", Headers: http.Header{"authorization": {"x"}}},
			[]string{"headers"},
		},
		{"relative import path", download.Config{AllowedImportPaths: []string{"mnt"}}, []string{"allowed_import_paths"}},
		{"all numbers", download.Config{
			Concurrency: -1, MaxRetries: &negative, RateLimit: -1, RetryDelay: -1,
			TotalTimeout: -1, ConnectTimeout: -1, SockConnectTimeout: -1, SockReadTimeout: -1,
		}, []string{
			"download_concurrency", "max_retries", "retry_delay", "rate_limit", "total_timeout", "connect_timeout",
			"sock_connect_timeout", "sock_read_timeout",
		}},
		{
			"several at once",
			download.Config{CACert: "x", ClientCert: cert, ProxyURL: "x", Concurrency: -1},
			[]string{"ca_cert", "client_key", "proxy_url", "download_concurrency"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := download.New(&tt.cfg)
			wantKind(t, err, pulperr.Invalid)
			var got []string
			collectFields(err, &got)
			if len(got) != len(tt.fields) {
				t.Fatalf("New = %v, want faults of %v", err, tt.fields)
			}
			for i := range got {
				if got[i] != tt.fields[i] {
					t.Errorf("fault %d is of %q, want %q", i, got[i], tt.fields[i])
				}
			}
		})
	}
}

func collectFields(err error, fields *[]string) {
	if v, ok := err.(*pulperr.ValidationError); ok { //nolint:errorlint // walks the tree itself
		*fields = append(*fields, v.Field)
		return
	}
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			collectFields(err, fields)
		}
	case interface{ Unwrap() error }:
		collectFields(errors.Unwrap(err), fields)
	}
}
