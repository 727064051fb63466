package download

// For fuzzing from the outside.
var (
	ParseRetryAfter   = parseRetryAfter
	ParseContentRange = func(s string) (start, end, total int64, ok bool) {
		r, ok := parseContentRange(s)
		return r.start, r.end, r.total, ok
	}
	FileName   = fileName
	SameOrigin = sameOrigin
)
