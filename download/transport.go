package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// transport returns the one transport of a remote. Without identity it shows no client certificate: that is the one
// for hosts to which a redirect led.
func (c *Config) transport(identity bool) (*http.Transport, error) {
	conf, tlsErr := c.tls(identity)
	proxy, proxyErr := c.proxy()
	if err := errors.Join(tlsErr, proxyErr); err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:            c.dialer(),
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    c.SockConnectTimeout,
		ResponseHeaderTimeout:  c.SockReadTimeout,
		MaxResponseHeaderBytes: 1 << 20,
		MaxConnsPerHost:        c.Concurrency,
		MaxIdleConnsPerHost:    c.Concurrency,
		MaxIdleConns:           2 * c.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		// A transparently unpacked body has another digest and size than the artifact.
		DisableCompression: true,
		ForceAttemptHTTP2:  true, // otherwise off because TLSClientConfig and DialContext are set
		// A dead HTTP/2 connection stays in the pool until a ping finds it; its streams just time out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: c.SockReadTimeout / 2, PingTimeout: c.SockReadTimeout / 2},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode == http.StatusProxyAuthRequired {
				return errProxyAuth
			}
			return nil
		},
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

func (c *Config) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	if c.DialContext == nil {
		d := &net.Dialer{Timeout: c.SockConnectTimeout, KeepAlive: 30 * time.Second}
		return d.DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		// The dialer of the host program need not have a timeout.
		ctx, cancel := context.WithTimeout(ctx, c.SockConnectTimeout)
		defer cancel()
		return c.DialContext(ctx, network, address)
	}
}

func (c *Config) tls(identity bool) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.SkipTLSVerify} //nolint:gosec // on request
	var faults []error
	if c.CACert != "" {
		pool, err := trust(c.CACert)
		conf.RootCAs = pool
		faults = append(faults, err)
	}
	switch {
	case c.ClientCert == "" && c.ClientKey == "":
	case c.ClientKey == "":
		faults = append(faults, pulperr.Field("client_key", "is needed with client_cert"))
	case c.ClientCert == "":
		faults = append(faults, pulperr.Field("client_cert", "is needed with client_key"))
	default:
		pair, err := tls.X509KeyPair([]byte(c.ClientCert), []byte(c.ClientKey))
		if err != nil {
			// The cause is not quoted: a text must not contain data that was computed from a private key.
			faults = append(faults, pulperr.Field("client_cert", "does not match client_key, or one of them is not PEM"))
		} else if identity {
			// Not Certificates: that would withhold the certificate if the server names other authorities.
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
	}
	return conf, errors.Join(faults...)
}

// trust adds the certificates to the system's. Text between PEM blocks is passed over; every block must parse.
func trust(pemText string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	found := 0
	for block, rest := pem.Decode([]byte(pemText)); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil, pulperr.Field("ca_cert", "contains a PEM block that is not a certificate; remove it")
		}
		pool.AddCert(cert)
		found++
	}
	switch {
	case found == 0:
		return nil, pulperr.Field("ca_cert", "contains no certificate in PEM form")
	// pem.Decode skips a block that it cannot read.
	case found < strings.Count(pemText, "-----BEGIN "):
		return nil, pulperr.Field("ca_cert", "contains a PEM block that is broken")
	}
	return pool, nil
}

// Certificates returns only the certificates of a PEM text, in order, each line ended: without comments, and without a
// private key that was among them.
func Certificates(pemText string) string {
	var out strings.Builder
	for block, rest := pem.Decode([]byte(pemText)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	return out.String()
}

func (c *Config) proxy() (*url.URL, error) {
	var faults []error
	fault := func(field, reason string) { faults = append(faults, pulperr.Field(field, "%s", reason)) }
	if (c.ProxyUsername == "") != (c.ProxyPassword == "") {
		fault("proxy_username", "is only valid together with proxy_password")
	}
	if strings.Contains(c.ProxyUsername, ":") {
		fault("proxy_username", "must not contain a colon")
	}
	if c.ProxyURL == "" {
		if c.ProxyUsername != "" || c.ProxyPassword != "" {
			fault("proxy_url", "is needed with proxy_username and proxy_password")
		}
		return nil, errors.Join(faults...)
	}
	u, err := url.Parse(c.ProxyURL)
	switch {
	case err != nil || u.Host == "":
		fault("proxy_url", "is not a URL with a host")
	case u.User != nil:
		fault("proxy_url", "must not contain credentials; use proxy_username and proxy_password")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		fault("proxy_url", "must start with http, https, socks5 or socks5h")
	case c.ProxyUsername != "":
		u.User = url.UserPassword(c.ProxyUsername, c.ProxyPassword)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return u, nil
}
