package content

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer is a request for a file and the parts of its answer besides the bytes.
type answer struct {
	w      http.ResponseWriter
	r      *http.Request
	header http.Header
	name   string // what a browser saves the file as
}

// describe sets the headers. An empty digest and a negative size are unknown.
func (a *answer) describe(sha256 string, size int64) { describe(a.w.Header(), a.header, sha256, size) }

func describe(to, h http.Header, sha256 string, size int64) {
	if sha256 != "" {
		to.Set("Etag", `"`+sha256+`"`)
	}
	if size >= 0 {
		to.Set(sizeHeader, strconv.FormatInt(size, 10))
	}
	for name, values := range h {
		to[name] = values
	}
}

// withoutBytes answers HEAD, conditions that are not fulfilled and ranges that cannot be, and reports whether it did.
func (a *answer) withoutBytes(sha256 string, size int64) bool {
	if a.r.Method != http.MethodHead {
		// http.ServeContent decides on conditions and ranges while it writes. A HEAD request to a probe shows its decision
		// before the client gets a header.
		probe := &statusProbe{header: http.Header{}}
		describe(probe.header, a.header, sha256, size)
		head := *a.r
		head.Method = http.MethodHead
		serveContent(probe, &head, time.Time{}, size, &blank{size: size})
		if probe.status == http.StatusOK || probe.status == http.StatusPartialContent {
			return false
		}
	}
	a.describe(sha256, size)
	serveContent(a.w, a.r, time.Time{}, size, &blank{size: size})
	return true
}

// statusProbe is a ResponseWriter of which only the status is wanted.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

// blank has a size and no bytes: for answers that need none.
type blank struct{ size, pos int64 }

func (b *blank) Read([]byte) (int, error) { return 0, errBytesMissing }

func (b *blank) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	}
	b.pos = offset
	return offset, nil
}

// watched is a source of bytes that keeps its fault, which [http.ServeContent] does not return.
type watched struct {
	io.ReadSeeker
	fault error
}

func (s *watched) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.fault = err
	}
	return n, err
}
