package storage

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"gocloud.dev/blob"

	"github.com/pulpgo/pulpcore/pulperr"
)

// SignOptions refine [Store.SignedURL]. nil and the zero value are the defaults.
type SignOptions struct {
	// Method is what the URL allows: GET (default), PUT or DELETE. A URL for GET refuses HEAD, so answer HEAD
	// requests yourself.
	Method string

	// Expiry is how long the URL is valid. Default 1 hour.
	Expiry time.Duration

	// Filename is the name under which a browser saves the bytes, by Content-Disposition. Only for GET.
	Filename string

	// ContentType is what the answer to a GET claims, or what a PUT has to send. Default: application/octet-stream,
	// and anything.
	ContentType string
}

// Disposition returns the Content-Disposition header for Filename, or "". It is meant for Options.BeforeSign.
func (o SignOptions) Disposition() string {
	if o.Filename == "" {
		return ""
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": o.Filename})
}

var errNoURLs = fmt.Errorf("%w: a local folder has no URLs", pulperr.Unsupported)

func (b *bucketBackend) sign(ctx context.Context, key string, o SignOptions) (string, error) {
	if err := b.intercept(ctx, OpSign, key); err != nil {
		return "", err
	}
	so := &blob.SignedURLOptions{Method: o.Method, Expiry: o.Expiry}
	// gocloud refuses a content type for other methods. BeforeSign sets the one of a GET.
	if o.Method == http.MethodPut {
		so.ContentType = o.ContentType
	}
	dressed := o.Filename != "" || o.ContentType != "" && o.Method == http.MethodGet
	switch {
	case b.beforeSign != nil:
		so.BeforeSign = func(as func(any) bool) error { return b.beforeSign(as, o) }
	// Refused and not ignored: the browser would save the file under the name of its digest.
	case dressed:
		return "", fmt.Errorf("%w: a file name or content type needs Options.BeforeSign", pulperr.Unsupported)
	}
	return b.bucket.SignedURL(ctx, key, so)
}

// probeSigning reports whether the backend makes URLs.
func probeSigning(b backend) bool {
	s, ok := b.(signer)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	// The object need not exist: drivers make URLs without a request to the service.
	_, err := s.sign(ctx, ArtifactKey(emptySHA256), SignOptions{Method: http.MethodGet, Expiry: time.Minute})
	return !errors.Is(wrap(ctx, "sign", "", err), pulperr.Unsupported)
}

const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
