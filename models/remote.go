package models

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/secrets"
)

// Policy determines when the bytes of a remote's content are downloaded.
type Policy string

// The download policies.
const (
	Immediate Policy = "immediate" // while syncing
	OnDemand  Policy = "on_demand" // at the first client's request, then kept
	Streamed  Policy = "streamed"  // at every client's request, never kept
)

// Remote is the master of upstream sources. A nil pointer means the default that the field names.
type Remote struct {
	MasterModel
	Name                string                `bun:"name" json:"name"` // unique within the domain
	URL                 string                `bun:"url" json:"url"`   // contains no credentials
	Labels              Labels                `bun:"pulp_labels,type:jsonb" json:"pulp_labels"`
	Policy              Policy                `bun:"policy" json:"policy"`                 // empty is Immediate
	CACert              *string               `bun:"ca_cert" json:"ca_cert"`               // PEM, beside the system's
	ClientCert          *string               `bun:"client_cert" json:"client_cert"`       // PEM
	ClientKey           secrets.EncryptedText `bun:"client_key" json:"client_key"`         // PEM
	TLSValidation       *bool                 `bun:"tls_validation" json:"tls_validation"` // nil is true
	Username            secrets.EncryptedText `bun:"username" json:"username"`             // for HTTP Basic
	Password            secrets.EncryptedText `bun:"password" json:"password"`             // for HTTP Basic
	ProxyURL            *string               `bun:"proxy_url" json:"proxy_url"`           // nil for none
	ProxyUsername       secrets.EncryptedText `bun:"proxy_username" json:"proxy_username"` // for the proxy
	ProxyPassword       secrets.EncryptedText `bun:"proxy_password" json:"proxy_password"` // for the proxy
	Headers             []map[string]string   `bun:"headers,type:jsonb,nullzero" json:"headers"`
	DownloadConcurrency *int                  `bun:"download_concurrency" json:"download_concurrency"` // nil is 10
	MaxRetries          *int                  `bun:"max_retries" json:"max_retries"`                   // nil is 3
	RateLimit           *int                  `bun:"rate_limit" json:"rate_limit"`                     // requests a second
	TotalTimeout        *float64              `bun:"total_timeout" json:"total_timeout"`               // seconds
	ConnectTimeout      *float64              `bun:"connect_timeout" json:"connect_timeout"`           // seconds
	SockConnectTimeout  *float64              `bun:"sock_connect_timeout" json:"sock_connect_timeout"` // seconds
	SockReadTimeout     *float64              `bun:"sock_read_timeout" json:"sock_read_timeout"`       // seconds
}

// DownloadConfig returns how to download from the remote. checksums are the algorithms to compute, importPaths the
// directories that file URLs may point below. The result holds the remote's secrets in the clear.
func (r *Remote) DownloadConfig(checksums *hashlib.Checksums, importPaths []string) *download.Config {
	c := &download.Config{
		CACert: value(r.CACert), ClientCert: value(r.ClientCert), ClientKey: r.ClientKey.Reveal(),
		SkipTLSVerify: r.TLSValidation != nil && !*r.TLSValidation,
		Username:      r.Username.Reveal(), Password: r.Password.Reveal(),
		ProxyURL: value(r.ProxyURL), ProxyUsername: r.ProxyUsername.Reveal(), ProxyPassword: r.ProxyPassword.Reveal(),
		Concurrency: value(r.DownloadConcurrency), MaxRetries: r.MaxRetries, RateLimit: value(r.RateLimit),
		TotalTimeout: seconds(r.TotalTimeout), ConnectTimeout: seconds(r.ConnectTimeout),
		SockConnectTimeout: seconds(r.SockConnectTimeout), SockReadTimeout: seconds(r.SockReadTimeout),
		AllowedImportPaths: importPaths, Checksums: checksums,
	}
	for _, h := range r.Headers {
		for name, v := range h {
			if c.Headers == nil {
				c.Headers = http.Header{}
			}
			c.Headers.Add(name, v)
		}
	}
	return c
}

// DownloadClient returns the pool's client for the remote, which all callers of the process share as long as the row
// is not changed, so that the remote's connection and rate limits hold for all of them together. checksums and
// importPaths are those of [Remote.DownloadConfig]; log may be nil. They have an effect only if the client is made by
// this call. The caller does not close it.
//
// Errors: Invalid if the remote's settings are.
func (r *Remote) DownloadClient(pool *download.Pool, checksums *hashlib.Checksums, importPaths []string,
	log *slog.Logger,
) (*download.Client, error) {
	load := func() (*download.Config, error) {
		config := r.DownloadConfig(checksums, importPaths)
		config.Log = log
		return config, nil
	}
	client, err := pool.Client(r.ID.String(), r.Updated.UTC().Format(time.RFC3339Nano), load)
	if err != nil {
		return nil, fmt.Errorf("models: client of remote %q: %w", r.Name, err)
	}
	return client, nil
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// seconds returns the duration, or the longest one if it is longer.
func seconds(s *float64) time.Duration {
	d := value(s) * float64(time.Second)
	// A conversion out of the range of int64 may give any value, also a negative one.
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}
