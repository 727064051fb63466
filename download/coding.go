package download

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// If the caller sets no bound, a decoded body may have maxUnpacked bytes, and beyond that maxRatio bytes for each byte
// that was sent. Text that repeats itself reaches a ratio of about 100, a decompression bomb 1000.
const (
	maxUnpacked = 16 << 20
	maxRatio    = 200
)

var errCoding = errors.New("the Content-Encoding of the answer cannot be decoded")

// contentEncoding returns the Content-Encoding of an answer in lower case, or "" if there is none.
func contentEncoding(h http.Header) string {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ", ")))
	// RFC 9110 reserves identity for Accept-Encoding. In an answer it can only mean that no coding was applied.
	if coding == "identity" {
		return ""
	}
	return coding
}

func decodable(coding string) bool {
	return coding == "gzip" || coding == "x-gzip" || coding == "deflate"
}

// decodedBody undoes the coding of a body. Its end is io.EOF only if the coding's own end mark and the end of the body
// were both read.
type decodedBody struct {
	coding string
	raw    *rawBody
	in     *bufio.Reader // of raw
	out    io.Reader     // nil before the first Read
	url    string        // redacted, for texts
	size   int64         // bytes after decoding
	free   bool          // the size is bounded by the caller
}

// rawBody counts the bytes as sent and keeps the error that ended them.
type rawBody struct {
	r    io.Reader
	size int64
	err  error
}

func (r *rawBody) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func newDecodedBody(coding, url string, body io.Reader, free bool) *decodedBody {
	raw := &rawBody{r: body}
	return &decodedBody{coding: coding, raw: raw, in: bufio.NewReader(raw), url: url, free: free}
}

func (d *decodedBody) Read(p []byte) (int, error) {
	if d.out == nil {
		if err := d.open(); err != nil {
			return 0, d.reason(err)
		}
	}
	n, err := d.out.Read(p)
	d.size += int64(n)
	// The limit grows with the bytes that were sent: a decompression bomb ends before it fills the disk, and a large text
	// that compresses well passes.
	if limit := maxUnpacked + maxRatio*d.raw.size; !d.free && d.size > limit {
		return 0, pulperr.Public(pulperr.TooLarge,
			"%s: %d bytes of %s unpack to more than %d bytes; if that is right, set the expected size or a maximum size",
			d.url, d.raw.size, d.coding, limit)
	}
	if errors.Is(err, io.EOF) {
		// The decoder stops at the end mark of the coding. Only the end of the body behind that mark proves that the file is
		// whole.
		if _, rest := d.in.ReadByte(); rest == nil {
			return n, fmt.Errorf("%w: bytes follow its end", errCoding)
		} else if !errors.Is(rest, io.EOF) {
			return n, d.reason(rest)
		}
		return n, io.EOF
	}
	if err != nil {
		err = d.reason(err)
	}
	return n, err
}

// open chooses the decoder.
func (d *decodedBody) open() (err error) {
	if d.coding != "deflate" {
		d.out, err = gzip.NewReader(d.in)
		return err
	}
	head, err := d.in.Peek(2)
	if err != nil {
		return err
	}
	// Servers send deflate with and without the zlib header that RFC 9110 asks for. A zlib header names compression
	// method 8 and is a multiple of 31 (RFC 1950).
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		d.out, err = zlib.NewReader(d.in)
		return err
	}
	d.out = flate.NewReader(d.in)
	return nil
}

// reason returns the fault of the connection if there was one, else that of the coding.
func (d *decodedBody) reason(err error) error {
	// Otherwise SourceError.PublicText would blame the Content-Encoding for a connection that broke.
	if d.raw.err != nil {
		return d.raw.err
	}
	return fmt.Errorf("%w: %w", errCoding, notEOF(err))
}

// notEOF keeps the end of a body from being taken for the end of the file.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
