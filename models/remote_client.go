package models

import (
	"math"
	"net/http"
	"time"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
)

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
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}
