// Package download fetches files over http, https and from allowed local directories, for remotes as Pulp describes
// them: each with its own TLS settings, proxy, credentials, headers, concurrency and rate limit.
//
// A [Client] is one remote's side of the network: one transport, one limit. [Client.Fetch] downloads to a file,
// [Client.Stream] to any [Sink]. Both hash the bytes while they arrive and stop at the first byte beyond the expected
// size. A body that was cut, or that differs from the expectation, is an error. A cut body is continued where it ended
// if the source can prove that the file is still the same; otherwise the download starts over. One kind of cut cannot
// be detected: that of a body whose end is marked by the end of the connection alone (HTTP/1.0), if neither its size
// nor a digest is expected. A [Pool] keeps one Client per remote and process, so that all tasks together keep to its
// limits.
//
// Errors carry a [pulperr.Kind]: NotFound (404, 410), Unauthorized, Forbidden, Invalid (the bytes differ from the
// expectation, or the request cannot be made), TooLarge (over [Request].MaxSize), Unavailable (all other answers, cut
// bodies, timeouts), Canceled. No error contains a password, a query value or a header.
package download

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Client downloads with the settings of one remote. It is safe for concurrent use. It has no goroutines of its own.
type Client struct {
	cfg       Config
	requester *requester
	slots     chan struct{}
	buffers   sync.Pool
	calls     calls
	active    atomic.Int64
	closed    atomic.Bool
}

// New returns a client. A nil cfg means all defaults. The caller closes the client.
//
// Errors: those of [Config.Validate].
func New(cfg *Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("download: new client: %w", err)
	}
	c := &Client{cfg: cfg.filled()}
	var err error
	if c.requester, err = newRequester(&c.cfg); err != nil {
		return nil, fmt.Errorf("download: new client: %w", err)
	}
	c.slots = make(chan struct{}, c.cfg.Concurrency)
	c.buffers.New = func() any { b := make([]byte, 64<<10); return &b }
	return c, nil
}

// Close closes connections that are idle, now or at the end of the last running download. Downloads may still be
// started, but leave no idle connections behind. It may be called more than once and returns nil.
func (c *Client) Close() error {
	c.closed.Store(true)
	if c.active.Load() == 0 {
		c.requester.closeIdle()
	}
	return nil
}

// Stream downloads to sink. It retries as configured: a cut body is continued, everything else starts over with
// Sink.Reset. After an error the sink may hold the beginning of the file. See [Once] for a sink that cannot start
// over.
//
// Errors: the package comment lists the kinds. Types to look for: [StatusError], [SourceError],
// [hashlib.DigestMismatchError], [hashlib.SizeMismatchError], [hashlib.UnsupportedError].
// Mirrors pulpcore.plugin.download.BaseDownloader.run.
func (c *Client) Stream(ctx context.Context, req *Request, sink Sink) (*Result, error) {
	u, err := parseURL(req.URL, c.cfg.AllowedImportPaths)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	if err := errors.Join(req.Expect.Validate(c.cfg.Checksums), validHeader(req.Header)); err != nil {
		return nil, fmt.Errorf("download: %w", &fileError{redact(u), err})
	}
	c.active.Add(1)
	defer func() {
		// A download that ends after Close has put its connection back into the transport's pool, where it would stay open
		// until the idle timeout. The last download to end closes these connections.
		if c.active.Add(-1) == 0 && c.closed.Load() {
			c.requester.closeIdle()
		}
	}()
	t := newTransfer(c, u, req, sink)
	if err := t.run(ctx); err != nil {
		return nil, t.describe(err)
	}
	return &Result{
		URL: t.final, Size: t.size, Digests: t.got, Header: t.header, Attempts: t.attempts,
		Encoding: t.encoding, Decoded: t.decoding,
	}, nil
}

// acquire waits for one of the client's slots, at most limit if that is not 0.
func (c *Client) acquire(ctx context.Context, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-late:
		return pulperr.Public(pulperr.Unavailable, "each of the %d downloads that the remote allows at a time "+
			"took longer than %v; raise its download_concurrency, or try again later", c.cfg.Concurrency, limit)
	case <-ctx.Done():
		return stopped(ctx)
	}
}

func (c *Client) release() { <-c.slots }
