package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
)

// transfer is one download with its retries: what the sink has so far and how the next attempt can continue it.
//
// Four fields decide what the next attempt asks for:
//
//	started  spoiled  validator  next attempt
//	false    any      any        the whole file; the sink has no bytes, only the hash is reset
//	true     false    set        the rest from size on, if the file is still the one that validator names
//	true     false    ""         the whole file, after Sink.Reset
//	true     true     any        the whole file, after Sink.Reset
//
// total is kept when the rest is asked for, because the answer must agree with it, and is -1 after Sink.Reset.
type transfer struct {
	c    *Client
	req  *Request
	url  *url.URL
	sink Sink
	hash *hashlib.Writer // nil if the sink hashes

	size      int64  // bytes that the sink has
	total     int64  // size of the whole file as the source said; -1 if it did not
	validator string // for If-Range; empty if the source cannot prove that the file is the same
	started   bool   // the sink has bytes or OnHeader was called
	spoiled   bool   // what the sink has cannot be continued
	part      int64  // size at which the partial answer that is being read ends; -1 if the answer is not partial
	attempts  int

	encoding string // Content-Encoding of the answer; empty if there is none
	decoding bool   // the sink gets decoded bytes
	decode   bool   // the bytes as sent were compared and found wrong: decode them in the next attempts

	final  string // URL that answered
	header http.Header
	got    hashlib.Digests
}

func newTransfer(c *Client, u *url.URL, req *Request, sink Sink) *transfer {
	t := &transfer{c: c, req: req, url: u, sink: sink, total: -1, part: -1, final: u.String()}
	if _, ok := sink.(Hasher); !ok {
		t.hash = c.cfg.Checksums.Writer()
	}
	return t
}

// run makes attempts until one succeeds, the fault is final, or there were enough.
func (t *transfer) run(ctx context.Context) error {
	if t.url.Scheme == "file" {
		t.attempts = 1
		return t.once(ctx, t.readFile)
	}
	left := budget{retries: *t.c.cfg.MaxRetries}
	if t.req.MaxRetries != nil {
		left.retries = *t.req.MaxRetries
	}
	for {
		t.attempts++
		// Each attempt takes a slot of its own, so that a download that waits for its retry does not keep others from the
		// source.
		err := t.once(ctx, t.attempt)
		if err == nil {
			return nil
		}
		if t.mayBeEncoded(err) {
			// The bytes as sent were compared first, because a .tar.gz often comes with Content-Encoding: gzip. They are wrong,
			// so the next attempt decodes them. The source is not at fault, so this uses up no retry.
			t.decode, t.spoiled = true, true
			if err := t.prepareRetry(err); err != nil {
				return err
			}
			continue
		}
		if !retryable(err) || !left.fail(t.size, t.total, t.continuable()) ||
			t.req.KeepTrying != nil && !t.req.KeepTrying(err) {
			return err
		}
		if err := t.prepareRetry(err); err != nil {
			return err
		}
		wait := retryDelay(t.c.cfg.RetryDelay, left.failures, err)
		t.c.cfg.Log.WarnContext(ctx, "download is retried", "url", redact(t.url), "attempt", t.attempts,
			"have_bytes", t.size, "wait", wait, "err", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// once runs fn in one of the client's slots. If ctx is done, its cause replaces the error of fn.
func (t *transfer) once(ctx context.Context, fn func(context.Context) error) error {
	if err := t.c.acquire(ctx, t.req.MaxWait); err != nil {
		return err
	}
	defer t.c.release()
	// The slot comes first: a download that waits for this remote must not hold a place that other remotes need.
	if t.req.Admit != nil {
		release, err := t.req.Admit(ctx)
		if err != nil {
			return &callerError{"wait for a place", err}
		}
		defer release()
	}
	err := fn(ctx)
	if err != nil && ctx.Err() != nil {
		return stopped(ctx)
	}
	return err
}

// attempt makes one request, for the whole file or for the rest of it.
func (t *transfer) attempt(ctx context.Context) error {
	w := newWatchdog(ctx, &t.c.cfg)
	defer w.stop()
	out := outgoing{url: t.url, header: t.req.Header, from: -1}
	if t.started {
		out.from, out.validator = t.size, t.validator
	}
	resp, final, err := t.c.requester.get(ctx, w, out)
	t.final = final
	if err != nil {
		return err
	}
	done, err := t.accept(resp)
	if err != nil || done {
		discard(resp.Body)
		return err
	}
	defer resp.Body.Close()
	var body io.Reader = &watchedBody{w: w, body: resp.Body, rate: t.c.cfg.MinRate}
	// An empty body has no header that a decoder could read.
	if t.decoding && resp.ContentLength != 0 {
		bounded := t.req.MaxSize > 0 || t.req.expectedSize() >= 0
		body = newDecodedBody(t.encoding, t.redacted(), body, bounded)
	}
	return t.copy(resp, body)
}

// accept checks the header of an answer and prepares for its body. It reports done if no bytes are left to read.
func (t *transfer) accept(resp *http.Response) (done bool, err error) {
	asked := t.started // then the request was for the rest
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo:
		if asked {
			// The file changed, or the source does not know ranges. This answer is the file from its beginning.
			if err := t.startOver(t.fault(errRange)); err != nil {
				return false, err
			}
		}
		return false, t.begin(resp)
	case http.StatusPartialContent:
		if asked && t.continues(resp) {
			return false, nil
		}
		t.spoiled = true
		return false, t.fault(errRange)
	case http.StatusRequestedRangeNotSatisfiable:
		if asked {
			// The body was cut between its last byte and its end.
			if t.ends(resp) {
				return true, t.verify()
			}
			t.spoiled = true
			return false, t.fault(errRange)
		}
	}
	return false, &StatusError{
		Status: resp.StatusCode, URL: t.redacted(),
		RetryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// begin takes the header of an answer that holds the whole file.
func (t *transfer) begin(resp *http.Response) error {
	t.header, t.total, t.part = resp.Header, resp.ContentLength, -1
	t.encoding = contentEncoding(resp.Header)
	want := t.req.expectedSize()
	wrongSize := want >= 0 && t.total >= 0 && t.total != want
	if t.decoding = decodable(t.encoding) && (t.decode || wrongSize || !t.req.hasExpectation()); t.decoding {
		// The size of the decoded file is unknown, and a range can be asked of the encoded bytes only.
		t.total, t.validator = -1, ""
	} else if wrongSize {
		t.spoiled = true
		return &hashlib.SizeMismatchError{Want: want, Got: t.total}
	} else {
		t.validator = validator(resp.Header)
	}
	if err := t.req.checkSize(t.total, t.final); err != nil {
		return err
	}
	if t.req.OnHeader == nil {
		return nil
	}
	// OnHeader may have promised the file to a client, so the next attempt must bring the same file even if no byte was
	// written.
	t.started = true
	// A callback that reads the body would take bytes away from the sink.
	shown := *resp
	shown.Body, shown.ContentLength = http.NoBody, t.total
	if err := t.req.OnHeader(&shown); err != nil {
		return &callerError{"header refused", err}
	}
	return nil
}

// continues reports whether a partial answer goes on exactly where the sink stands, in the same file.
func (t *transfer) continues(resp *http.Response) bool {
	r, ok := parseContentRange(resp.Header.Get("Content-Range"))
	if !ok || r.start != t.size || r.total >= 0 && t.total >= 0 && r.total != t.total {
		return false
	}
	if t.total >= 0 && r.end >= t.total || !t.sameFile(resp) {
		return false
	}
	t.part = r.end + 1
	if t.total < 0 {
		t.total = r.total
	}
	return true
}

// ends reports whether a 416 confirms that the file has exactly the bytes that the sink has.
func (t *transfer) ends(resp *http.Response) bool {
	r, ok := parseContentRange(resp.Header.Get("Content-Range"))
	// The size that the source gave earlier must agree: a cache that kept a cut body gives the size of the cut body.
	return ok && r.start < 0 && r.total == t.size && (t.total < 0 || t.total == t.size) && t.sameFile(resp)
}

// sameFile reports whether the headers of an answer are consistent with the file that was begun.
func (t *transfer) sameFile(resp *http.Response) bool {
	for _, name := range []string{"ETag", "Last-Modified", "Content-Encoding"} {
		first, now := t.header.Get(name), resp.Header.Get(name)
		if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && name != "ETag" {
			continue // the other two may describe the error page
		}
		if now != "" && first != now && (name != "Last-Modified" || t.validator == first) {
			return false
		}
	}
	return true
}

// mayBeEncoded reports whether err may come from comparing encoded bytes with the expectation for the decoded ones.
func (t *transfer) mayBeEncoded(err error) bool {
	return mismatch(err) && decodable(t.encoding) && !t.decoding && !t.decode
}

// continuable reports whether the next attempt can ask for the rest.
func (t *transfer) continuable() bool { return t.validator != "" && !t.spoiled }

// end returns the size at which the file is complete, or -1 if that is not known in advance.
func (t *transfer) end() int64 {
	if want := t.req.expectedSize(); want >= 0 {
		return want
	}
	return t.total
}

// prepareRetry decides between continuing and starting over.
func (t *transfer) prepareRetry(cause error) error {
	if t.started && t.continuable() {
		return nil
	}
	// The sink is empty, but the last bytes of a small file may have been hashed before they were found wrong.
	if !t.started {
		if t.hash != nil {
			t.hash.Reset()
		}
		t.spoiled = false
		return nil
	}
	return t.startOver(cause)
}

func (t *transfer) startOver(cause error) error {
	if err := t.sink.Reset(); err != nil {
		return fmt.Errorf("%w; starting over: %w", cause, &callerError{"reset", err})
	}
	if t.hash != nil {
		t.hash.Reset()
	}
	t.size, t.total, t.part, t.validator = 0, -1, -1, ""
	t.started, t.spoiled = false, false
	return nil
}

func (t *transfer) redacted() string { return Redact(t.final) }

func (t *transfer) fault(err error) error { return &SourceError{URL: t.redacted(), Err: err} }

// describe adds to err the URL and the number of attempts, unless err has them.
func (t *transfer) describe(err error) error {
	where := redact(t.url)
	if _, unsupported := errors.AsType[*hashlib.UnsupportedError](err); unsupported || mismatch(err) {
		err = &fileError{where, err}
	}
	_, status := errors.AsType[*StatusError](err)
	_, source := errors.AsType[*SourceError](err)
	switch {
	case t.attempts > 1:
		return fmt.Errorf("download: %s: attempt %d: %w", where, t.attempts, err)
	case status || source:
		return fmt.Errorf("download: %w", err)
	}
	if _, file := errors.AsType[*fileError](err); file {
		return fmt.Errorf("download: %w", err)
	}
	return fmt.Errorf("download: %s: %w", where, err)
}

// discard reads the rest of an answer that is not used, at most 16 KiB within a second, and closes it. Its connection
// can be used again if that was all.
func discard(body io.ReadCloser) {
	// A server that sends the rest slowly, or never, must not delay the next attempt.
	timer := time.AfterFunc(time.Second, func() { body.Close() })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, body, 16<<10)
	body.Close()
}
