package certguard_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/certguard"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/webserver"
)

// TestMigrations fails if a type was changed without a migration. With PULP_WRITE_MIGRATION=1 it writes that.
func TestMigrations(t *testing.T) {
	pulptest.Migrations(t, "migrations", certguard.Plugin())
}

// holder is a certificate with its key.
type holder struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that the holder signs; a nil holder makes it self-signed. It is the certificate of a
// client, or of an authority if the name says so; edit changes its fields before the signature.
func (by *holder) issue(t testing.TB, name string, edit func(c *x509.Certificate)) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if strings.Contains(name, "authority") {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	if edit != nil {
		edit(c)
	}
	if by == nil {
		by = &holder{c, key}
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{made, key}
}

func bundle(list ...*holder) string {
	var b strings.Builder
	for _, h := range list {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw}))
	}
	return b.String()
}

const proxy, stranger = "10.0.0.1:1", "203.0.113.9:1"

// permit asks the guard about a request behind trusted proxies.
func permit(t testing.TB, g *certguard.X509, peer string, headers ...string) error {
	t.Helper()
	proxies, err := webserver.TrustProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr, r.Header["X-Client-Cert"] = peer, headers
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		err = g.Permit(r.Context(), &content.Request{HTTP: r})
	})).ServeHTTP(httptest.NewRecorder(), r)
	return err
}

func TestX509(t *testing.T) {
	t.Parallel()
	var self *holder
	root := self.issue(t, "authority", nil)
	second := self.issue(t, "second authority", nil)
	forged := self.issue(t, "authority", nil) // the same name and another key
	middle := root.issue(t, "authority in the middle", nil)
	client := root.issue(t, "client", nil)
	g := &certguard.X509{CACertificate: "# a comment\n" + bundle(root, second)}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	after := func(notBefore, notAfter time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(notBefore), time.Now().Add(notAfter)
		}
	}
	usage := func(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	noSign := root.issue(t, "authority that may not sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	expired := root.issue(t, "authority that expired", after(-2*time.Hour, -time.Hour))
	short := root.issue(t, "authority without others", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := short.issue(t, "authority below", nil)
	damaged := []byte(bundle(client))
	damaged[len(damaged)/2] ^= 1
	for _, tt := range []struct {
		name, peer string
		sent       []string // before it is escaped
		permitted  bool
	}{
		{"the right certificate", proxy, []string{bundle(client)}, true},
		{"of the second authority", proxy, []string{bundle(second.issue(t, "client", nil))}, true},
		{"without usages", proxy, []string{bundle(root.issue(t, "client", func(c *x509.Certificate) {
			c.KeyUsage, c.ExtKeyUsage = 0, nil
		}))}, true},
		{"by an authority in the middle", proxy, []string{bundle(middle.issue(t, "client", nil), middle)}, true},
		{"an authority in the middle is missing", proxy, []string{bundle(middle.issue(t, "client", nil))}, false},
		{"from a stranger", stranger, []string{bundle(client)}, false},
		{"no header", proxy, nil, false},
		{"an empty header", proxy, []string{""}, false},
		{"two headers", proxy, []string{bundle(client), bundle(client)}, false},
		{"no PEM", proxy, []string{"client"}, false},
		{"a damaged certificate", proxy, []string{string(damaged)}, false},
		{"a key", proxy, []string{strings.ReplaceAll(bundle(client), "CERTIFICATE", "PRIVATE KEY")}, false},
		{"of another authority", proxy, []string{bundle(self.issue(t, "x authority", nil).issue(t, "client", nil))}, false},
		{"of an authority with the same name", proxy, []string{bundle(forged.issue(t, "client", nil))}, false},
		{"with its own authority", proxy, []string{bundle(forged.issue(t, "client", nil), forged)}, false},
		{"signed by itself", proxy, []string{bundle(self.issue(t, "client", nil))}, false},
		{"signed by another client", proxy, []string{bundle(client.issue(t, "other", nil), client)}, false},
		{"another one first", proxy, []string{bundle(self.issue(t, "client", nil), client)}, false},
		{"expired", proxy, []string{bundle(root.issue(t, "client", after(-2*time.Hour, -time.Minute)))}, false},
		{"not valid yet", proxy, []string{bundle(root.issue(t, "client", after(time.Hour, 2*time.Hour)))}, false},
		{"for servers", proxy, []string{bundle(root.issue(t, "client", usage(x509.ExtKeyUsageServerAuth)))}, false},
		{"for encryption", proxy, []string{bundle(root.issue(t, "client", func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyEncipherment
		}))}, false},
		{"the authority itself", proxy, []string{bundle(root)}, false},
		{"an authority in the middle as a client", proxy, []string{bundle(middle)}, false},
		{"by an authority that may not sign", proxy, []string{bundle(noSign.issue(t, "client", nil), noSign)}, false},
		{"by an authority that expired", proxy, []string{bundle(expired.issue(t, "client", nil), expired)}, false},
		{"by a chain that is too long", proxy, []string{bundle(below.issue(t, "client", nil), below, short)}, false},
		{"too many certificates", proxy, []string{strings.Repeat(bundle(client), 11)}, false},
		{"too much text", proxy, []string{bundle(client) + strings.Repeat("x", 64<<10)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			for _, text := range tt.sent {
				headers = append(headers, url.PathEscape(text))
			}
			err := permit(t, g, tt.peer, headers...)
			if tt.permitted && err != nil || !tt.permitted && pulperr.KindOf(err) != pulperr.Forbidden {
				t.Errorf("Permit = %v, want permitted: %v", err, tt.permitted)
			}
		})
	}
	if err := permit(t, g, proxy, strings.NewReplacer("\n", "%0A", " ", "%20").Replace(bundle(client))); err != nil {
		t.Errorf("plus signs that are not escaped: %v", err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-CLIENT-CERT", url.PathEscape(bundle(client)))
	if err := g.Permit(r.Context(), &content.Request{HTTP: r}); pulperr.KindOf(err) != pulperr.Forbidden {
		t.Errorf("Permit without webserver.Proxies = %v, want a refusal", err)
	}
	broken := &certguard.X509{CACertificate: "x"}
	if err := permit(t, broken, proxy, url.PathEscape(bundle(client))); pulperr.KindOf(err) != pulperr.Internal {
		t.Errorf("Permit with a broken bundle = %v, want kind Internal", err)
	}
}

// A key of 9000 bits costs the server more than the client that sends it.
func TestX509OfALongKey(t *testing.T) {
	t.Parallel()
	var self *holder
	root := self.issue(t, "authority", nil)
	g := &certguard.X509{CACertificate: bundle(root)}
	for _, tt := range []struct {
		bits      int
		permitted bool
	}{{2048, true}, {8192, true}, {9000, false}} {
		n := new(big.Int).SetBit(big.NewInt(1), tt.bits-1, 1)
		raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}, root.cert, &rsa.PublicKey{N: n, E: 65537}, root.key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := permit(t, g, proxy, url.PathEscape(bundle(&holder{cert: made}))); (err == nil) != tt.permitted {
			t.Errorf("Permit with a key of %d bits = %v, want permitted: %v", tt.bits, err, tt.permitted)
		}
	}
}

func TestX509Validate(t *testing.T) {
	t.Parallel()
	var self *holder
	root := self.issue(t, "authority", nil)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for _, tt := range []struct{ name, bundle, want string }{
		{"empty", "", "there is no certificate"},
		{"no PEM", "certificate", "there is no certificate"},
		{"a client", bundle(root, root.issue(t, "client", nil)), `certificate 2, "CN=client", is not that of an authority`},
		{"a key", bundle(root) + key, `there is a "PRIVATE KEY"`},
		{"damaged", strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"), "certificate 1 cannot be read"},
	} {
		err := (&certguard.X509{CACertificate: tt.bundle}).Validate()
		fault, ok := errors.AsType[*pulperr.ValidationError](err)
		if !ok || fault.Field != "ca_certificate" || !strings.Contains(fault.Reason, tt.want) {
			t.Errorf("%s: Validate = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// No text that the authority has not signed passes, and none makes the guard fail.
func FuzzX509(f *testing.F) {
	var self *holder
	root := self.issue(f, "authority", nil)
	g := &certguard.X509{CACertificate: bundle(root)}
	f.Add(url.PathEscape(bundle(self.issue(f, "client", nil))))
	f.Add(url.PathEscape(bundle(root)))
	f.Add("-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----")
	f.Add("%")
	f.Fuzz(func(t *testing.T, text string) {
		if err := permit(t, g, proxy, text); pulperr.KindOf(err) != pulperr.Forbidden {
			t.Errorf("Permit of %q = %v, want a refusal", text, err)
		}
		if err := (&certguard.X509{CACertificate: text}).Validate(); err != nil && pulperr.KindOf(err) != pulperr.Invalid {
			t.Errorf("Validate of %q = %v, want kind Invalid", text, err)
		}
	})
}
