package guards

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// The parameters that a signed URL has in its query.
const (
	expiresParam = "expires"        // seconds since 1970
	tokenParam   = "validate_token" // HMAC-SHA-256 in lowercase hexadecimal digits
)

const secretSize = 32 // bytes

// Validate makes the secret of a new guard.
func (g *ContentRedirect) Validate() error {
	if !g.Secret.IsSet() {
		secret := make([]byte, secretSize)
		_, _ = rand.Read(secret) // it never returns an error
		g.Secret = secrets.NewEncryptedText(hex.EncodeToString(secret))
	}
	return nil
}

// SignURL returns a URL, or a path with or without a query, with what makes the guard permit it until a time. The token
// covers path, query and time; it is valid for GET and HEAD, and at every host name of the server. g is a row that was
// created or read.
//
// Errors: Invalid if target is no URL or was signed already.
func (g *ContentRedirect) SignURL(target string, until time.Time) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Path == "" {
		// The text is not repeated: a URL may have a password.
		return "", fmt.Errorf("guards: sign: the target is not a URL with a path: %w", pulperr.Invalid)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("guards: sign %q: the query is not valid: %w: %w", u.Path, pulperr.Invalid, err)
	}
	if query.Has(expiresParam) || query.Has(tokenParam) {
		return "", fmt.Errorf("guards: sign %q: the query has %s or %s already; sign a URL once: %w", u.Path,
			expiresParam, tokenParam, pulperr.Invalid)
	}
	query.Set(expiresParam, strconv.FormatInt(until.Unix(), 10))
	token, err := g.token(u.Path, query)
	if err != nil {
		return "", err
	}
	query.Set(tokenParam, hex.EncodeToString(token))
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// token returns the proof that the secret was known to the one who wrote path and query.
func (g *ContentRedirect) token(path string, query url.Values) ([]byte, error) {
	secret, err := hex.DecodeString(g.Secret.Reveal())
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("guards: guard %q has no valid secret; make a new guard: %w", g.Name, pulperr.Internal)
	}
	mac := hmac.New(sha256.New, secret)
	// The length in front keeps a part of the path from being taken for a part of the query.
	length := binary.BigEndian.AppendUint64(nil, uint64(len(path)))
	mac.Write(length)
	mac.Write([]byte(path))
	// Encode sorts by key, so clients may write the parameters in another order and with other escapes.
	mac.Write([]byte(query.Encode()))
	return mac.Sum(nil), nil
}

// Permit implements [content.Guard].
func (g *ContentRedirect) Permit(_ context.Context, r *content.Request) error {
	refused := denied("Access not authenticated")
	query, err := url.ParseQuery(r.HTTP.URL.RawQuery)
	// With a parameter given twice, the content app could read another one than this guard.
	if err != nil || len(query[expiresParam]) != 1 || len(query[tokenParam]) != 1 {
		return refused
	}
	sent, err := hex.DecodeString(query.Get(tokenParam))
	if err != nil {
		return refused
	}
	query.Del(tokenParam)
	want, err := g.token(r.HTTP.URL.Path, query)
	if err != nil {
		return err
	}
	// hmac.Equal takes the same time wherever the tokens differ.
	if !hmac.Equal(sent, want) {
		return refused
	}
	// The time is read after the token: only a client that was given the URL learns that it has expired.
	until, err := strconv.ParseInt(query.Get(expiresParam), 10, 64)
	if err != nil {
		return refused
	}
	if time.Now().Unix() >= until {
		return denied("Authentication expired")
	}
	return nil
}
