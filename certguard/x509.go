package certguard

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

const (
	maxText  = 64 << 10 // bytes of a header
	maxChain = 10       // certificates that a client sends
	// maxKey is the length of an RSA key up to which signatures are verified, in bits, as in crypto/tls. The time grows
	// with its cube, and a client can send certificates of authorities that it has invented.
	maxKey = 8192
)

// Validate refuses a bundle without certificates, and certificates that can issue none.
func (g *X509) Validate() error {
	if _, err := authorities(g.CACertificate); err != nil {
		return pulperr.Field("ca_certificate", "%v.", err)
	}
	return nil
}

// authorities returns the certificates of a bundle as the roots of chains.
func authorities(bundle string) (*x509.CertPool, error) {
	list, err := certificates(bundle)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for i, c := range list {
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %d, %q, is not that of an authority; leave it out, or make it with the "+
				"basic constraint CA:TRUE", i+1, c.Subject)
		}
		pool.AddCert(c)
	}
	return pool, nil
}

// certificates reads all certificates of a text in PEM. Text between them is ignored.
func certificates(text string) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %q among the certificates; leave it out", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")
	}
	return list, nil
}

// Permit implements [content.Guard]. It verifies the chain from the client's certificate to an authority of the bundle:
// signatures, times, and that the certificate is meant for clients. Lists of revoked certificates are not read.
func (g *X509) Permit(_ context.Context, r *content.Request) error {
	text := webserver.ClientCertificateOf(r.HTTP)
	if text == "" {
		return pulperr.Public(pulperr.Forbidden, "A client certificate is required.")
	}
	roots, err := authorities(g.CACertificate)
	if err != nil {
		// Validate has refused such a bundle, so the row was written by another program.
		return fmt.Errorf("certguard: guard %q: %w: %w", g.Name, pulperr.Internal, err)
	}
	refused := pulperr.Public(pulperr.Forbidden, "The client certificate is not accepted.")
	chain, ok := clientChain(text)
	if !ok {
		return refused
	}
	client, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	// An authority's certificate is not a client's. RFC 5246 wants the signature of a client, and x509.Verify looks at the
	// extended key usage only.
	signs := client.KeyUsage == 0 || client.KeyUsage&x509.KeyUsageDigitalSignature != 0
	if client.IsCA || !signs {
		return refused
	}
	_, err = client.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return refused
	}
	return nil
}

// clientChain reads what a proxy sends: the client's certificate and perhaps those of authorities between it and a
// root.
func clientChain(text string) ([]*x509.Certificate, bool) {
	if len(text) > maxText {
		return nil, false
	}
	// Not QueryUnescape: base64 has plus signs, which some proxies do not escape.
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil, false
	}
	chain, err := certificates(text)
	if err != nil || len(chain) > maxChain || slices.ContainsFunc(chain, isExpensive) {
		return nil, false
	}
	return chain, true
}

// isExpensive reports whether the signatures of a certificate's key take long to verify.
func isExpensive(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxKey
}
