package content

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRanges is how many ranges of one request are answered. More are ignored: the answer is the whole file.
const maxRanges = 32

// behindTheEnd is a range that no file can satisfy.
const behindTheEnd = "bytes=9223372036854775807-"

// reasonableRange returns r, or a copy whose Range header [http.ServeContent] answers as RFC 9110 demands. Another unit
// than bytes and very many ranges are ignored. A header that is malformed, or of which no range can be satisfied by any
// file, becomes a range behind the end of every file, so that the answer 416 has the length.
func reasonableRange(r *http.Request) *http.Request {
	header := r.Header.Get("Range")
	if header == "" {
		return r
	}
	unit, set, _ := strings.Cut(header, "=")
	clean := ""
	// RFC 9110 ignores the case of a unit; net/http knows the lower case only.
	if strings.EqualFold(unit, "bytes") {
		clean = cleanRanges(set)
	}
	if clean == header {
		return r
	}
	// A copy: the handlers around this one keep the header that the client sent.
	r = r.Clone(r.Context())
	if clean == "" {
		r.Header.Del("Range")
	} else {
		r.Header.Set("Range", clean)
	}
	return r
}

// cleanRanges returns a Range header that means the same as the ranges of one, or "" to ignore it.
func cleanRanges(set string) string {
	var some []string
	given := false
	for part := range strings.SplitSeq(set, ",") {
		if part = strings.Trim(part, " \t"); part == "" {
			continue
		}
		span, ok := cleanSpan(part)
		if !ok {
			return behindTheEnd
		}
		if given = true; span != "" {
			some = append(some, span)
		}
	}
	switch {
	// Each range costs a part with headers of its own, so very many small ones are an attack.
	case !given || len(some) > maxRanges:
		return ""
	case some == nil:
		return behindTheEnd
	}
	return "bytes=" + strings.Join(some, ",")
}

// cleanSpan returns a range with numbers that fit, or "" for the last 0 bytes, which no file can satisfy. It reports
// false for a range that is malformed.
func cleanSpan(part string) (string, bool) {
	first, last, ok := strings.Cut(part, "-")
	from, okFrom := position(first)
	to, okTo := position(last)
	switch {
	case !ok || !okFrom || !okTo || from < 0 && to < 0:
		return "", false
	// net/http would answer it with a Content-Range that ends before it begins.
	case from < 0 && to == 0:
		return "", true
	case from >= 0 && to >= 0 && to < from:
		return "", false
	}
	span := "-"
	if from >= 0 {
		span = strconv.FormatInt(from, 10) + span
	}
	if to >= 0 {
		span += strconv.FormatInt(to, 10)
	}
	return span, true
}

// position reads a number of a range, -1 if there is none. A number beyond 64 bits is behind the end of every file.
func position(text string) (int64, bool) {
	switch {
	case text == "":
		return -1, true
	case strings.Trim(text, "0123456789") != "":
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		// The text has digits only, so the error is an overflow.
		n = math.MaxInt64
	}
	return n, true
}

// serveContent is [http.ServeContent] for bytes of a known size. It ignores ranges of an empty file.
func serveContent(w http.ResponseWriter, r *http.Request, modified time.Time, size int64, body io.ReadSeeker) {
	// A Content-Range cannot name a part of an empty file; net/http would write "bytes 0--1/0".
	if size == 0 && r.Header.Get("Range") != "" {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", modified, body)
}
