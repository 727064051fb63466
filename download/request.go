package download

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Request names one file to download and what it must be.
type Request struct {
	URL    string          // http, https or file; must not contain credentials
	Expect *hashlib.Expect // digests and size that the file must have; nil means anything goes
	// Header is sent besides the client's headers and replaces those of the same name. Range, If-Range and
	// Accept-Encoding are the download's own and ignored here.
	Header http.Header
	// MaxSize is the most bytes to accept when the size is not known in advance, such as for metadata. More is an
	// error of kind TooLarge. 0 means no bound.
	MaxSize int64
	// MaxRetries replaces the client's for this request; nil means the client's.
	MaxRetries *int
	// KeepTrying is asked before each further attempt, with the fault of the last one; false ends the download with that
	// fault. Nil means true.
	KeepTrying func(err error) bool
	// Admit is called by each attempt when it has one of the client's slots; release is called at the end of the attempt.
	// It may wait for a place that the caller gives out. An error ends the download and is returned. Nil means no wait.
	Admit func(ctx context.Context) (release func(), err error)
	// MaxWait is the longest wait for one of the client's slots. Longer is an error of kind Unavailable. 0 means no limit.
	MaxWait time.Duration
	// OnHeader is called when the source has begun to answer, before the first byte goes to the sink: once, and once
	// more after each Sink.Reset. The body of the response cannot be read. For a file URL the response is made up
	// from size and time of the file. Its ContentLength is -1 if the body is decoded, see [Result]. An error ends the
	// download and is returned.
	OnHeader func(*http.Response) error
}

// hasExpectation reports whether the caller knows a digest or the size of the file.
func (r *Request) hasExpectation() bool {
	return r.Expect != nil && (r.Expect.Size != nil || !r.Expect.Digests.IsZero())
}

// expectedSize returns the size that the file must have, or -1 if the caller does not know it.
func (r *Request) expectedSize() int64 {
	if r.Expect == nil || r.Expect.Size == nil {
		return -1
	}
	return *r.Expect.Size
}

// checkSize returns an error of kind TooLarge if size is more than the caller accepts from the URL final.
func (r *Request) checkSize(size int64, final string) error {
	if r.MaxSize > 0 && size > r.MaxSize {
		return pulperr.Public(pulperr.TooLarge, "%s has more than %d bytes", Redact(final), r.MaxSize)
	}
	return nil
}

// Result is what was downloaded.
type Result struct {
	URL      string          // where it came from after redirects; may carry tokens: use [Redact] in texts
	Size     int64           // bytes
	Digests  hashlib.Digests // one for each of the client's checksums
	Header   http.Header     // of the answer that began the file; empty for a file URL
	Path     string          // of the new file; only from [Client.Fetch]
	Attempts int             // 1 if nothing failed

	// Encoding is the Content-Encoding of the answer in lower case, although none was asked for; "" if there was none.
	// Decoded says whether Size, Digests and the bytes are those of the decoded body. Gzip and deflate are decoded
	// unless the bytes as sent are what [Request].Expect asks for; other encodings never are.
	Encoding string
	Decoded  bool
}

// Sink receives a download. Write gets the bytes in order. Reset is called when the download starts over: forget all
// bytes so far. A sink that cannot (because a client has read them already) returns an error from Reset: then the
// download fails with what made the restart necessary.
type Sink interface {
	io.Writer
	Reset() error
}

// Hasher is an optional interface of a [Sink] that computes digests itself, such as a writer into artifact storage.
// The download then does not hash a second time, but asks when the last byte was written. The digests must cover
// those in [Request].Expect that are allowed. Reset must reset them too.
type Hasher interface {
	Digests() hashlib.Digests
}

// Once returns a Sink that passes bytes on to w and refuses to start over. If the length is known in advance, the
// last bytes reach w only after the digests were found right, so that w's reader never takes a wrong file for whole.
func Once(w io.Writer) Sink { return once{w} }

type once struct{ io.Writer }

func (once) Reset() error {
	return pulperr.Public(pulperr.Unavailable, "the download cannot start over, because a client has its first bytes")
}

// CheckURL returns the fault of a URL that cannot be downloaded: another scheme than http, https and file, no host,
// credentials in it, or a path that is not below one of the allowed import paths. The error is a
// [pulperr.ValidationError] for the field "url".
func CheckURL(rawURL string, allowedImportPaths []string) error {
	_, err := parseURL(rawURL, allowedImportPaths)
	return err
}

func parseURL(rawURL string, allowed []string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, pulperr.Field("url", "cannot be parsed") // the cause would quote the password
	}
	if u.User != nil {
		return nil, pulperr.Field("url", "must not contain credentials; use username and password")
	}
	switch u.Scheme {
	case "http", "https":
		if u.Hostname() == "" {
			return nil, pulperr.Field("url", "%q has no host", redact(u))
		}
	case "file":
		if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(filepath.FromSlash(u.Path)) {
			return nil, pulperr.Field("url", "a file URL needs an absolute path and no host")
		}
		if _, _, ok := importPath(u.Path, allowed); !ok {
			return nil, pulperr.Field("url", "The path '%s' does not start with any of the allowed import paths", u.Path)
		}
	default:
		return nil, pulperr.Field("url", "the scheme %q is not http, https or file", u.Scheme)
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}
