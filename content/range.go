package content

import (
	"net/http"
	"strconv"
	"strings"
)

// maxRanges is how many ranges of one request are answered. More are ignored: the answer is the whole file.
const maxRanges = 32

// reasonableRange returns r, or a copy with another Range header where http.ServeContent would not do well: for very
// many ranges, and for the last 0 bytes, which no file can satisfy.
func reasonableRange(r *http.Request) *http.Request {
	header := r.Header.Get("Range")
	ranges, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return r
	}
	var some []string
	for part := range strings.SplitSeq(ranges, ",") {
		if !lastNothing(part) {
			some = append(some, part)
		}
	}
	left := strings.Join(some, ",")
	switch {
	case len(some) > maxRanges:
		left = ""
	case left == ranges:
		return r
	case strings.Trim(left, ", \t") == "":
		left = "9223372036854775807-" // behind the end of every file
	}
	r = r.Clone(r.Context())
	if left == "" {
		r.Header.Del("Range")
	} else {
		r.Header.Set("Range", "bytes="+left)
	}
	return r
}

// lastNothing reports whether a range asks for the last 0 bytes, in any of the forms that net/http reads.
func lastNothing(part string) bool {
	first, last, ok := strings.Cut(part, "-")
	n, err := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
	return ok && strings.TrimSpace(first) == "" && err == nil && n == 0
}
