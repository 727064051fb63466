// Package certguard is a plugin with a content guard that asks for a client certificate: [X509]. It corresponds to
// Pulp's pulp_certguard. A host adds it to its App:
//
//	app, err := pulpcore.Open(ctx, set, certguard.Plugin(), …)
//
// The certificate comes in the header X-CLIENT-CERT from a reverse proxy that has verified that the client owns the
// key. The proxy must be listed in TRUSTED_PROXIES; the header of any other sender is ignored. It must set the header
// on every request, so that no client can. For nginx:
//
//	ssl_verify_client optional_no_ca;
//	proxy_set_header X-CLIENT-CERT $ssl_client_escaped_cert;
//
// pulpcore.ProxyConfig writes such configurations, for nginx and Apache.
package certguard

import (
	"embed"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
)

// X509 permits clients whose certificate was issued by an authority of a bundle. Mirrors X509CertGuard.
type X509 struct {
	models.ContentGuard
	// CACertificate is the bundle: certificates of authorities in PEM, each of which is trusted by itself.
	CACertificate string `json:"ca_certificate" rest:"required" doc:"A bundle of certificates of authorities in PEM."`
}

// X509s is the type of [X509].
var X509s = models.Define[X509]("certguard.x509")

// migrations are the tables of the types. TestMigrations fails if they lag behind, and writes the next one.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Plugin describes this plugin to pulpcore.Open.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:       "certguard",
		Version:    pulpcore.Version, // Pulp releases both together
		Models:     []models.AnyType{X509s},
		Migrations: migrations,
		Views:      []rest.View{rest.ViewSet[X509]{Type: X509s, Name: "x509", Class: "X509CertGuard"}},
	}
}
