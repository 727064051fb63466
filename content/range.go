package content

import (
	"net/http"
	"strings"
)

// maxRanges is how many ranges of one request are answered. More are ignored: the answer is the whole file.
const maxRanges = 32

// reasonableRange returns r, or a copy with another Range header where http.ServeContent would not do well: for very
// many ranges, and for the last 0 bytes, which no file can satisfy.
func reasonableRange(r *http.Request) *http.Request {
	header := r.Header.Get("Range")
	if header == "" {
		return r
	}
	last, suffix := strings.CutPrefix(header, "bytes=-")
	nothing := suffix && last != "" && strings.Trim(last, "0") == ""
	if !nothing && strings.Count(header, ",") < maxRanges {
		return r
	}
	r = r.Clone(r.Context())
	if nothing {
		r.Header.Set("Range", "bytes=9223372036854775807-") // behind the end of every file
	} else {
		r.Header.Del("Range")
	}
	return r
}
