package download

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/time/rate"
)

// requester sends the requests of one client: it adds headers and credentials, follows redirects and keeps the rate
// limit. It is safe for concurrent use.
type requester struct {
	cfg       *Config
	trusted   *http.Transport // for the hosts that the caller names
	anonymous *http.Transport // for hosts that a redirect names; the same one unless there is a client certificate
	headers   http.Header     // with credentials
	neutral   http.Header     // without
	host      string          // the Host header if the configuration has one
	limiter   *rate.Limiter   // nil means no limit
}

// outgoing is a request before its first redirect.
type outgoing struct {
	url       *url.URL
	header    http.Header // of the caller
	from      int64       // first byte to ask for; -1 means the whole file, without a Range header
	validator string      // for If-Range, if from is not -1
}

func newRequester(cfg *Config) (*requester, error) {
	r := &requester{cfg: cfg}
	var err, err2 error
	r.trusted, err = cfg.transport(true)
	r.anonymous = r.trusted
	if cfg.ClientCert != "" {
		// A host that a redirect names must not learn who the client is, so its connections have no certificate.
		r.anonymous, err2 = cfg.transport(false)
	}
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	r.setHeaders()
	if cfg.RateLimit > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(cfg.RateLimit), 1)
	}
	return r, nil
}

func (r *requester) setHeaders() {
	r.headers = http.Header{}
	addHeaders(r.headers, r.cfg.Headers)
	agent := r.cfg.UserAgent
	if own := strings.Join(r.headers.Values("User-Agent"), ", "); own != "" {
		agent += ", " + own
	}
	r.host = r.headers.Get("Host")
	// net/http ignores a Host header and sends Request.Host, which send sets.
	r.headers.Del("Host")
	r.headers.Set("User-Agent", agent)
	if r.cfg.Username != "" {
		pair := base64.StdEncoding.EncodeToString([]byte(r.cfg.Username + ":" + r.cfg.Password))
		r.headers.Set("Authorization", "Basic "+pair)
	}
	r.neutral = http.Header{}
	addHeaders(r.neutral, onlyNeutral(r.headers))
}

func (r *requester) closeIdle() {
	r.trusted.CloseIdleConnections()
	r.anonymous.CloseIdleConnections()
}

// get sends the request and follows redirects. It returns the URL that answered, or that failed.
func (r *requester) get(ctx context.Context, w *watchdog, out outgoing) (resp *http.Response, final string, err error) {
	u, trusted := out.url, true
	for hop := 0; ; hop++ {
		final = u.String()
		resp, err := r.send(ctx, w, u, r.header(out, trusted), trusted)
		if err != nil {
			return nil, final, &SourceError{URL: Redact(final), Err: err}
		}
		location := resp.Header.Get("Location")
		if location == "" || !isRedirect(resp.StatusCode) {
			return resp, final, nil
		}
		discard(resp.Body)
		next, err := redirectTarget(u, location)
		if err == nil && hop == maxRedirects {
			err = fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, redact(next))
		}
		if err != nil {
			return nil, final, &RedirectError{URL: Redact(final), Reason: err.Error()}
		}
		// A redirect that leaves the origin hands the choice of the next URL to another host. Credentials are not sent
		// again, not even if that host leads back.
		trusted = trusted && sameOrigin(u, next)
		u = next
	}
}

// send makes one request.
func (r *requester) send(
	ctx context.Context, w *watchdog, u *url.URL, header http.Header, trusted bool,
) (*http.Response, error) {
	if r.limiter != nil {
		// The wait ends with ctx and not with the watchdog, which measures the source and not our own rate limit.
		if err := r.limiter.Wait(ctx); err != nil {
			return nil, fmt.Errorf("rate limit: %w", err)
		}
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header}
	transport := r.anonymous
	if trusted {
		transport = r.trusted
		if r.host != "" {
			req.Host = r.host
		}
	}
	wctx, connected := w.connecting(r.cfg.ConnectTimeout)
	defer connected()
	// Not http.Client, which would follow redirects by itself and choose the headers that it sends along.
	resp, err := transport.RoundTrip(req.WithContext(wctx))
	if err != nil {
		return nil, w.reason(err)
	}
	return resp, nil
}

// header returns the headers of one hop. A host that is not trusted gets neither credentials nor the caller's own
// headers.
func (r *requester) header(out outgoing, trusted bool) http.Header {
	var h http.Header
	if trusted {
		h = r.headers.Clone()
		addHeaders(h, out.header)
	} else {
		h = r.neutral.Clone()
		addHeaders(h, onlyNeutral(out.header))
	}
	// Without this line net/http asks for gzip and decodes it, and the digests would not be those of the bytes sent.
	h.Set("Accept-Encoding", "identity")
	// accept refuses a 206 that the download did not ask for, so a Range of the caller would make each attempt fail.
	h.Del("Range")
	h.Del("If-Range")
	if out.from >= 0 {
		h.Set("Range", "bytes="+strconv.FormatInt(out.from, 10)+"-")
		h.Set("If-Range", out.validator)
	}
	return h
}

// addHeaders copies src in dst; a name in src replaces the one in dst.
func addHeaders(dst, src http.Header) {
	// src may have one name in several spellings. Their values belong together and replace those in dst as a whole.
	fresh := http.Header{}
	for name, values := range src {
		name = http.CanonicalHeaderKey(name)
		fresh[name] = append(fresh[name], values...)
	}
	for name, values := range fresh {
		dst[name] = values
	}
}

// onlyNeutral keeps the headers that are no secrets and that any host may see.
func onlyNeutral(h http.Header) http.Header {
	n := http.Header{}
	for name, values := range h {
		switch http.CanonicalHeaderKey(name) {
		case "Accept", "Accept-Language", "User-Agent":
			n[name] = values
		}
	}
	return n
}
