package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Defaults of the fields of [Config].
const (
	DefaultConcurrency        = 10
	DefaultMaxRetries         = 3
	DefaultRetryDelay         = 500 * time.Millisecond
	DefaultSockConnectTimeout = 30 * time.Second
	DefaultSockReadTimeout    = 60 * time.Second
	DefaultMinRate            = 32 // bytes per second
)

// Config has the network settings of one remote. Every field is optional and its zero value is its default. A Config
// holds secrets and therefore prints as "download.Config{…}" with every verb.
//
// Mirrors the network fields of pulpcore.plugin.models.Remote.
type Config struct {
	CACert        string // PEM certificates trusted besides the system's
	ClientCert    string // PEM certificate chain shown to the server; needs ClientKey
	ClientKey     string // PEM private key of ClientCert
	SkipTLSVerify bool   // accept any certificate and host name

	Username string // basic authentication, sent from the start
	Password string // may be empty; needs Username

	ProxyURL      string // http, https, socks5 or socks5h, without credentials; empty means no proxy
	ProxyUsername string // only together with ProxyPassword and ProxyURL
	ProxyPassword string

	Headers   http.Header // sent with each request; a User-Agent in it is appended to ours
	UserAgent string      // replaces our own product and version; default "pulpcore-go/<version> (<go>; <system>)"

	Concurrency int // downloads at a time; default 10
	// RetryDelay is the wait before the first retry. It doubles with each further one up to 30 s, and each wait is
	// shortened at random by up to half. Default 500 ms.
	RetryDelay time.Duration
	RateLimit  int // requests per second, evenly spaced, redirects and retries included; 0 means no limit

	TotalTimeout       time.Duration // for one attempt with its body; 0 means no limit
	ConnectTimeout     time.Duration // to get a connection, including the wait for a free one; 0 means no limit
	SockConnectTimeout time.Duration // for the TCP connect and for the TLS handshake; default 30 s
	SockReadTimeout    time.Duration // the longest silence of a server that should be sending; default 60 s

	// MinRate is how many bytes per second a body must bring, on average over each two minutes that were spent waiting
	// for it. An attempt that is slower ends like one after SockReadTimeout. Default 32; less than 0 means any rate.
	MinRate int
	// MaxRetries is how many attempts may fail in a row after which another one follows. An attempt that brought the
	// file forward begins a new count. Nil means 3.
	MaxRetries *int

	AllowedImportPaths []string // absolute directories that file URLs may point below; none means no file URLs

	Checksums *hashlib.Checksums // algorithms to compute; nil means hashlib.Default
	Log       *slog.Logger       // retries are logged here; nil means nowhere

	// DialContext replaces the system's dialer, for example to forbid private networks. It also dials the proxy.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Validate returns every fault of c, joined; each is a [pulperr.ValidationError] whose field has the name that the
// setting has on a remote in the API ("client_key"). A nil c is valid.
func (c *Config) Validate() error {
	if c == nil {
		return nil
	}
	_, tlsFaults := c.tls(true)
	_, proxyFaults := c.proxy()
	return errors.Join(tlsFaults, proxyFaults, c.validateAuth(), c.validateHeaders(), c.validateNumbers(),
		c.validatePaths())
}

func (c *Config) validateAuth() error {
	var faults []error
	headers := http.Header{}
	addHeaders(headers, c.Headers)
	// Basic authentication joins user name and password with a colon (RFC 7617), so the server would split the pair at
	// another place.
	if strings.Contains(c.Username, ":") {
		faults = append(faults, pulperr.Field("username", "must not contain a colon"))
	}
	if c.Password != "" && c.Username == "" {
		faults = append(faults, pulperr.Field("password", "needs a username"))
	}
	// A request has one Authorization header. The one made from the user name would replace the configured one unnoticed.
	if c.Username != "" && headers.Get("Authorization") != "" {
		faults = append(faults, pulperr.Field("headers", "Authorization cannot be combined with a username"))
	}
	return errors.Join(faults...)
}

func (c *Config) validateHeaders() error {
	var faults []error
	if !validHeaderValue(c.UserAgent) {
		faults = append(faults, pulperr.Field("headers", "the user agent contains control characters"))
	}
	return errors.Join(append(faults, validHeader(c.Headers))...)
}

func (c *Config) validateNumbers() error {
	var faults []error
	negative := func(field string, is bool) {
		if is {
			faults = append(faults, pulperr.Field(field, "must not be negative"))
		}
	}
	negative("download_concurrency", c.Concurrency < 0)
	negative("max_retries", c.MaxRetries != nil && *c.MaxRetries < 0)
	negative("retry_delay", c.RetryDelay < 0)
	negative("rate_limit", c.RateLimit < 0)
	negative("total_timeout", c.TotalTimeout < 0)
	negative("connect_timeout", c.ConnectTimeout < 0)
	negative("sock_connect_timeout", c.SockConnectTimeout < 0)
	negative("sock_read_timeout", c.SockReadTimeout < 0)
	return errors.Join(faults...)
}

func (c *Config) validatePaths() error {
	var faults []error
	for _, p := range c.AllowedImportPaths {
		if !filepath.IsAbs(p) {
			faults = append(faults, pulperr.Field("allowed_import_paths", "%q is not absolute", p))
		}
	}
	return errors.Join(faults...)
}

// filled returns a copy of c in which every field has its value.
func (c *Config) filled() Config {
	var f Config
	if c != nil {
		f = *c
	}
	setDefault(&f.Concurrency, DefaultConcurrency)
	setDefault(&f.RetryDelay, DefaultRetryDelay)
	setDefault(&f.SockConnectTimeout, DefaultSockConnectTimeout)
	setDefault(&f.SockReadTimeout, DefaultSockReadTimeout)
	setDefault(&f.MinRate, DefaultMinRate)
	setDefault(&f.UserAgent, userAgent())
	if f.MaxRetries == nil {
		n := DefaultMaxRetries
		f.MaxRetries = &n
	}
	if f.Checksums == nil {
		f.Checksums = hashlib.Default()
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	f.Headers = f.Headers.Clone() // the caller may change theirs
	return f
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Format hides everything: secrets are reachable from every field by reflection.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "download.Config{…}") }

// LogValue hides everything.
func (c Config) LogValue() slog.Value { return slog.StringValue("download.Config{…}") }

// userAgent names this library, the Go release and the system, as Pulp does with Python's.
func userAgent() string {
	const module = "github.com/pulpgo/pulpcore"
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		// The module is a dependency of the host program, and the main module only in tests of its own.
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" && m.Version != "(devel)" {
				version = m.Version
			}
		}
	}
	return fmt.Sprintf("pulpcore-go/%s (%s; %s %s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// validHeader checks names and values, so that a bad one is found before the first download and not in it.
func validHeader(h http.Header) error {
	var faults []error
	for name, values := range h {
		if !validHeaderName(name) {
			faults = append(faults, pulperr.Field("headers", "%q is not the name of a header", name))
		}
		for _, v := range values {
			if !validHeaderValue(v) {
				faults = append(faults, pulperr.Field("headers", "the value of %q contains control characters", name))
			}
		}
	}
	return errors.Join(faults...)
}

func validHeaderName(name string) bool {
	notToken := func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}
	return name != "" && !strings.ContainsFunc(name, notToken)
}

func validHeaderValue(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
