package download

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxRetryDelay = 30 * time.Second
	maxRetryAfter = time.Minute
)

// retryable reports whether another attempt may end differently.
func retryable(err error) bool {
	// First, because the error of a sink may wrap an error that looks like one of the source.
	if _, ok := errors.AsType[*callerError](err); ok {
		return false
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.temporary()
	}
	if source, ok := errors.AsType[*SourceError](err); ok {
		// The proxy would refuse the same credentials again.
		return !errors.Is(source, errProxyAuth)
	}
	// A mirror that is being updated may serve the right file at the next attempt.
	return mismatch(err)
}

// budget counts the failures of a download since its last progress. A large file over a line that breaks often needs
// many attempts, and each of them brings it forward.
type budget struct {
	retries  int   // failures in a row after which another attempt follows
	failures int   // since the last progress
	reached  int64 // bytes at the last progress
}

// fail counts a failed attempt after which the sink has size bytes of total (-1 if unknown), and reports whether
// another one may follow. Progress is 64 KiB or a hundredth of the file, whichever is less, that need not be read
// again.
func (b *budget) fail(size, total int64, continuable bool) bool {
	step := int64(64 << 10)
	if total > 0 {
		step = min(step, total/100+1)
	}
	// A source that sends a few bytes per attempt must not renew the count for ever.
	if continuable && size-b.reached >= step {
		b.failures, b.reached = 0, size
	}
	b.failures++
	return b.failures <= b.retries
}

// retryDelay returns how long to wait after the given number of failed attempts without progress: between half of and
// the whole doubled delay, or as long as the server asks for if that is longer.
func retryDelay(first time.Duration, attempts int, err error) time.Duration {
	d := min(first, maxRetryDelay)
	for range attempts - 1 {
		if d = min(2*d, maxRetryDelay); d == maxRetryDelay {
			break
		}
	}
	// Downloads that failed at the same moment must not all come back at the same moment.
	d -= rand.N(d/2 + 1)
	if status, ok := errors.AsType[*StatusError](err); ok {
		d = max(d, status.RetryAfter)
	}
	return d
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return stopped(ctx)
	}
}

// parseRetryAfter reads seconds or a date. A malformed value is 0, and more than a minute is a minute.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.Atoi(value)
		// The text has digits only, so the error is an overflow.
		if err != nil || seconds > int(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(date.Sub(now), maxRetryAfter))
}

// contentRange is a parsed Content-Range. start and end are -1 in the answer to a range that does not exist, total is
// -1 if unknown.
type contentRange struct{ start, end, total int64 }

// parseContentRange reads "bytes 0-9/100", "bytes 0-9/*" and "bytes */100".
func parseContentRange(value string) (contentRange, bool) {
	none := contentRange{-1, -1, -1}
	unit, rest, ok := strings.Cut(strings.TrimSpace(value), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return none, false
	}
	span, size, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return none, false
	}
	r := none
	if size != "*" {
		if r.total, ok = parseDigits(size); !ok {
			return none, false
		}
	}
	if span == "*" {
		return r, size != "*"
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return none, false
	}
	start, ok1 := parseDigits(first)
	end, ok2 := parseDigits(last)
	if !ok1 || !ok2 || end < start || r.total >= 0 && end >= r.total {
		return none, false
	}
	r.start, r.end = start, end
	return r, true
}

func parseDigits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// validator returns what If-Range may carry to continue a file with this header: a strong ETag, or, if there is no
// ETag, a modification time that is old enough to be unambiguous. Empty means that the file cannot be continued.
func validator(h http.Header) string {
	if strings.EqualFold(h.Get("Accept-Ranges"), "none") {
		return ""
	}
	if tag := h.Get("ETag"); tag != "" {
		// A weak ETag does not promise the same bytes, and RFC 9110 forbids it in If-Range.
		if strings.HasPrefix(tag, `"`) {
			return tag
		}
		return ""
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	// Last-Modified counts in seconds. A file that was changed in the second of the answer can change once more and keep
	// its date.
	if err != nil || err2 != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}
