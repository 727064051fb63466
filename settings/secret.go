package settings

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"unique"
)

// redacted stands for a secret wherever one would be printed.
const redacted = "[redacted]"

// Secret is a text that cannot be printed: fmt with any verb, slog and every encoder show "[redacted]", even where
// the Secret is an unexported field of another value. [Secret.Reveal] is the only way to the text, so its uses can be
// searched for. The zero Secret is the empty text and prints as such. Secrets are comparable with ==.
type Secret struct {
	h unique.Handle[string] // behind a pointer, for fmt prints unexported string fields
}

// NewSecret returns a Secret that holds text.
func NewSecret(text string) Secret {
	if text == "" {
		// The handle of the empty text is not the zero handle, and == would tell an empty Secret from the zero one.
		return Secret{}
	}
	return Secret{h: unique.Make(text)}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.h.Value()
}

// IsZero reports whether the text is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal reports whether the texts are equal.
func (s Secret) Equal(other Secret) bool { return s == other }

// Matches compares with a text in constant time. Use it for what a client sent.
func (s Secret) Matches(text string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(text)) == 1
}

// String returns "[redacted]", or "" for the zero Secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns the same as String.
func (s Secret) GoString() string { return s.String() }

// Format prints the same as String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives slog the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the same as String. It serves JSON, YAML and TOML encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns the same as String, as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText sets the text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// URL is an address that may carry a password: it prints without it, and [URL.Reveal] returns it whole. The zero URL
// is empty. URLs are comparable with ==.
type URL struct {
	s Secret
}

// NewURL returns a URL that holds raw, which need not be valid.
func NewURL(raw string) URL { return URL{s: NewSecret(raw)} }

// Reveal returns the address with its password.
func (u URL) Reveal() string { return u.s.Reveal() }

// IsZero reports whether the address is empty.
func (u URL) IsZero() bool { return u.s.IsZero() }

// Equal reports whether the addresses are equal.
func (u URL) Equal(other URL) bool { return u == other }

// Scheme returns the part before the first colon, lowercase, or "".
func (u URL) Scheme() string {
	scheme, _, ok := strings.Cut(u.Reveal(), ":")
	if !ok {
		return ""
	}
	return strings.ToLower(scheme)
}

// String returns the address with "xxxxx" for the password and for query parameters that are named like secrets. An
// address that cannot be parsed gives "[redacted]".
func (u URL) String() string {
	raw := u.Reveal()
	// Without user part and query there is no password, and the address stays as it was written: String of a parsed URL
	// would escape it.
	if !strings.ContainsAny(raw, "@?") {
		return raw
	}
	p, err := url.Parse(raw)
	// Without // after the scheme, as in redis:u:pw@h, the whole address is opaque, where Redacted finds no password.
	if err != nil || p.Opaque != "" {
		return redacted
	}
	if p.RawQuery != "" {
		q, err := url.ParseQuery(p.RawQuery)
		if err != nil {
			// A secret may be anywhere in a query that cannot be read.
			return redacted
		}
		for k := range q {
			if secretName.MatchString(k) {
				q.Set(k, "xxxxx")
			}
		}
		p.RawQuery = q.Encode()
	}
	return p.Redacted()
}

// GoString returns the same as String.
func (u URL) GoString() string { return u.String() }

// Format prints the same as String, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// LogValue gives slog the same as String.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText returns the same as String.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText sets the address.
func (u *URL) UnmarshalText(text []byte) error {
	*u = NewURL(string(text))
	return nil
}

// secretName matches names of values that are secret in maps without a type, such as the OPTIONS of a storage.
var secretName = regexp.MustCompile(
	`(?i)(password|passwd|secret|token|credential|connection_string|private_key|access_key|account_key|sas)`)

// userinfo matches a password within an address within any text.
var userinfo = regexp.MustCompile(`(://[^\s/?#:@]*:)[^\s/?#]*@`)

// scrub removes passwords of addresses from a text.
func scrub(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return userinfo.ReplaceAllString(text, "${1}xxxxx@")
}
