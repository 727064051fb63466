package guards

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
)

// maxHeader is the length of a header's text up to which it is decoded, in bytes. A filter may need a multiple of it.
const maxHeader = 16 << 10

var errHeader = denied("Access denied.")

// Validate refuses a name that no header can have, an empty value, which an empty header would have, and a filter that
// is no jq or that a client could make expensive by what it sends.
func (g *Header) Validate() error {
	if !isToken(g.HeaderName) {
		return pulperr.Field("header_name", "%q is not the name of a header.", g.HeaderName)
	}
	if g.HeaderValue == "" {
		return pulperr.Field("header_value", "This field may not be blank.")
	}
	if g.Filter == nil {
		return nil
	}
	if _, err := compileFilter(*g.Filter); err != nil {
		return pulperr.Field("jq_filter", "The filter cannot be used: %v.", err)
	}
	return nil
}

// isToken reports whether a text has only characters that RFC 9110 allows in names of headers.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// Permit implements [content.Guard]. The header's text is base64. Without a filter the decoded text must be the value;
// with one it must be JSON, and the first result of the filter must be the value.
func (g *Header) Permit(ctx context.Context, r *content.Request) error {
	texts := r.HTTP.Header.Values(g.HeaderName)
	// Of several texts one may come from the client and another one from a proxy.
	if len(texts) != 1 || len(texts[0]) > maxHeader {
		return errHeader
	}
	decoded, err := base64.StdEncoding.DecodeString(texts[0])
	if err != nil {
		return errHeader
	}
	value := string(decoded)
	if g.Filter != nil {
		var ok bool
		if value, ok, err = filtered(ctx, *g.Filter, decoded); err != nil {
			return err
		} else if !ok {
			return errHeader
		}
	}
	if !equal(value, g.HeaderValue) {
		return errHeader
	}
	return nil
}

// filtered returns the first result of a filter over a text of JSON, or false if that is no text or there is none.
func filtered(ctx context.Context, filter string, text []byte) (string, bool, error) {
	code, err := compileFilter(filter)
	if err != nil {
		// Validate has refused such a filter, so the row was written by another program.
		return "", false, fmt.Errorf("guards: jq filter %q: %w: %w", filter, pulperr.Internal, err)
	}
	var v any
	if json.Unmarshal(text, &v) != nil {
		return "", false, nil
	}
	first, ok := code.RunWithContext(&steps{Context: ctx, left: maxSteps}, v).Next()
	// A fault of the filter is a value of type error, also if it has taken all of its steps. It depends on what the client
	// has sent, so it is a refusal.
	value, isText := first.(string)
	return value, ok && isText, ctx.Err()
}

// equal compares in a time that depends on neither text.
func equal(a, b string) bool {
	// The digests have one length: ConstantTimeCompare returns at once for texts of different lengths.
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
