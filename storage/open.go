package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Open returns the Store at rawURL:
//
//	file:///var/lib/pulp/media   a folder, made if it is missing
//	file://./media, ./media      a folder, relative to the working directory at the time of the call
//	mem://                       in memory, gone when the Store is; for tests
//	s3://bucket?region=…         any URL of a gocloud driver that the host has imported
//
// A parameter prefix=a/b, allowed on all of them, is added to Options.Prefix. On a folder the parameters metadata,
// no_tmp_dir and create_dir of gocloud's fileblob are accepted; what they ask for is done in any case.
//
// Errors: Invalid for a malformed or unknown URL; Unavailable if the folder or bucket cannot be opened.
func Open(ctx context.Context, rawURL string, opts *Options) (*Store, error) {
	o := opts.orDefault()
	scheme, _, isURL := strings.Cut(rawURL, ":")
	// A plain path may contain a colon, and so does one with a drive on Windows.
	if !isURL || strings.ContainsAny(scheme, `/\`) || filepath.VolumeName(rawURL) != "" {
		return openLocal(ctx, rawURL, o)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// The cause would quote the URL, which may contain credentials.
		return nil, pulperr.Field("url", "the storage URL cannot be parsed")
	}
	q := u.Query()
	if p := strings.TrimSuffix(q.Get("prefix"), "/"); p != "" {
		o.Prefix = strings.TrimPrefix(o.Prefix+"/"+p, "/")
	}
	q.Del("prefix") // gocloud would put it before keys without a slash
	u.RawQuery = q.Encode()
	switch u.Scheme {
	case "file":
		dir, err := folderOf(u)
		if err != nil {
			return nil, err
		}
		return openLocal(ctx, dir, o)
	case "mem":
		return newStore(newBucketBackend(memblob.OpenBucket(&memblob.Options{NoMD5: true}), o), o)
	}
	return openDriver(ctx, u, o)
}

func openDriver(ctx context.Context, u *url.URL, o Options) (*Store, error) {
	if !o.Mux.ValidBucketScheme(u.Scheme) {
		return nil, pulperr.Field("url", "no driver for %q; the program has to import one, such as "+
			"gocloud.dev/blob/s3blob", u.Scheme)
	}
	b, err := o.Mux.OpenBucketURL(ctx, u)
	if err != nil {
		// The text leaves out user and query, which may contain credentials.
		return nil, wrapWrite(ctx, "open", u.Scheme+"://"+u.Host+u.Path, err)
	}
	s, err := newStore(newBucketBackend(b, o), o)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

func openLocal(ctx context.Context, dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, pulperr.Field("url", "the storage URL is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("storage: open %q: %w: %w", dir, pulperr.Unavailable, err)
	}
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err // before a folder is made
	}
	f, err := openFolder(abs, o)
	if err != nil {
		return nil, wrapWrite(ctx, "open", dir, err)
	}
	return newStore(f, o)
}

// folderOf returns the folder that a file URL names.
func folderOf(u *url.URL) (string, error) {
	// An unknown parameter is refused: ignoring a misspelt prefix would put all keys at another place.
	for name := range u.Query() {
		switch name {
		case "create_dir", "metadata", "no_tmp_dir":
		default:
			return "", pulperr.Field("url", "unknown parameter %q of a file URL", name)
		}
	}
	dir := u.Path
	switch {
	case u.Opaque != "": // file:media
		dir = u.Opaque
	case u.Host == ".":
		dir = "." + u.Path
	case u.Host != "" && u.Host != "localhost":
		return "", pulperr.Field("url", "a file URL has three slashes before an absolute path, or starts with file://./")
	}
	return filepath.FromSlash(dir), nil
}
