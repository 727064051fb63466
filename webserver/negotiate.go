package webserver

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Negotiate returns the media type of the answer to a request: the offer with the highest quality in the header Accept,
// and the first of several. The most specific range that matches an offer decides its quality, see section 12.5.1 of
// RFC 9110. A client without the header accepts every offer, so it gets the first. "" is returned if the client accepts
// none.
//
// Add "Vary: Accept" to answers that depend on it, so that caches keep them apart.
func Negotiate(r *http.Request, offers ...string) (best string) {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		accept = "*/*"
	}
	var highest float64
	for _, offer := range offers {
		if q := qualityOf(offer, accept); q > highest {
			best, highest = offer, q
		}
	}
	return best
}

// qualityOf returns the quality, from 0 to 1, that a header Accept gives to a media type. Malformed ranges do not
// count.
func qualityOf(offer, accept string) (quality float64) {
	kind, _, _ := strings.Cut(offer, "/")
	specific := 0
	for item := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		rank := 0
		switch media {
		case "*/*", "*": // the client of Java sends the latter
			rank = 1
		case kind + "/*":
			rank = 2
		case offer:
			rank = 3
		}
		if rank > specific {
			quality, specific = q, rank
		}
	}
	return quality
}
