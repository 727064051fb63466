package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Attributes describe a stored object.
type Attributes struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
}

// Stat returns the attributes of the object at key.
//
// Errors: NotFound, Invalid, Unavailable.
func (s *Store) Stat(ctx context.Context, key string) (Attributes, error) {
	whole, err := s.keys.full("stat", key)
	if err != nil {
		return Attributes{}, err
	}
	a, err := s.backend.stat(ctx, whole)
	if err != nil {
		return Attributes{}, wrap(ctx, "stat", key, err)
	}
	a.Key = key
	return a, nil
}

// Open returns the bytes at key. The caller closes the reader.
//
// Errors: NotFound if there is none; Invalid for a malformed key; Unavailable if the backend did not answer.
// Mirrors django-storages' Storage.open.
func (s *Store) Open(ctx context.Context, key string) (*Reader, error) {
	return s.OpenRange(ctx, key, 0, -1)
}

// OpenRange returns length bytes at key from offset on, fewer if the object ends before; a negative length means all
// the rest. Seeking stays inside that range, whose first byte is position 0. The caller closes the reader.
//
// Errors: as Open, and Invalid for an offset that is negative or behind the end.
func (s *Store) OpenRange(ctx context.Context, key string, offset, length int64) (*Reader, error) {
	whole, err := s.keys.full("open", key)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, pulperr.Field("offset", "%d is negative", offset)
	}
	src, err := s.backend.open(ctx, whole, offset, length)
	if err != nil {
		return nil, wrap(ctx, "open", key, err)
	}
	return &Reader{ctx: ctx, key: key, src: src}, nil
}

// SignedURL returns a URL by which its holder may reach the object at key without further authentication,
// until it expires. Whether the object exists is not asked.
//
// Errors: Unsupported on a local folder or in memory, and for a Filename or ContentType without Options.BeforeSign;
// Invalid, Unavailable.
func (s *Store) SignedURL(ctx context.Context, key string, opts *SignOptions) (string, error) {
	whole, err := s.keys.full("sign", key)
	if err != nil {
		return "", err
	}
	var o SignOptions
	if opts != nil {
		o = *opts
	}
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Expiry == 0 {
		o.Expiry = time.Hour
	}
	b, ok := s.backend.(signer)
	if !ok {
		return "", wrap(ctx, "sign", key, errNoURLs)
	}
	u, err := b.sign(ctx, whole, o)
	return u, wrap(ctx, "sign", key, err)
}

// Exists reports whether there is an object at key.
//
// Errors: Invalid, Unavailable.
func (s *Store) Exists(ctx context.Context, key string) (bool, error) {
	_, err := s.Stat(ctx, key)
	if errors.Is(err, pulperr.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// Delete removes the object at key. That there is none is a success.
//
// Errors: Invalid, Unavailable.
func (s *Store) Delete(ctx context.Context, key string) error {
	whole, err := s.keys.full("delete", key)
	if err != nil {
		return err
	}
	// Services differ in whether the deletion of a missing object fails.
	if err := s.backend.remove(ctx, whole); err != nil && !isMissing(err) {
		return wrap(ctx, "delete", key, err)
	}
	return nil
}

// Promote makes a temporary file an artifact without reading its bytes: by a hard link in a local folder, by a
// server-side copy elsewhere. temp is what PutTemp returned. The temporary file stays, so that a transaction which
// fails afterwards loses no bytes; Delete it once the artifact's row is committed. That the artifact is stored already
// is a success, also if the temporary file is gone then.
//
// Errors: NotFound if there is no such file; Conflict if it does not have temp.Size bytes; Invalid without a sha256;
// Unavailable.
func (s *Store) Promote(ctx context.Context, temp Object) (Object, error) {
	art := Object{Key: ArtifactKey(temp.Digests.SHA256), Size: temp.Size, Digests: temp.Digests}
	from, err := s.keys.full("promote", temp.Key)
	if err != nil {
		return Object{}, err
	}
	to, err := s.keys.full("promote", art.Key)
	if err != nil {
		return Object{}, err
	}
	// First, because a promotion may be repeated after the temporary file was deleted.
	there, err := s.stored(ctx, to, art.Size)
	if err != nil {
		return Object{}, wrap(ctx, "promote", temp.Key, err)
	}
	if there {
		return art, nil
	}
	a, err := s.backend.stat(ctx, from)
	// Promote does not read the bytes, so the size is the one check that finds a damaged file.
	if err == nil && a.Size != temp.Size {
		err = fmt.Errorf("%w: it has %d bytes, not %d", pulperr.Conflict, a.Size, temp.Size)
	}
	if err == nil {
		err = s.backend.link(ctx, from, to, s.spool.key())
	}
	if err != nil {
		return Object{}, wrap(ctx, "promote", temp.Key, err)
	}
	return art, nil
}

// Digest reads the object at key and computes its digests anew: to verify it, or to fill in missing checksums.
//
// Errors: NotFound, Invalid, Unavailable.
func (s *Store) Digest(ctx context.Context, key string) (Object, error) {
	r, err := s.Open(ctx, key)
	if err != nil {
		return Object{}, err
	}
	h := s.checksums.Writer()
	buf := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buf)
	// Without onlyReader io.CopyBuffer would call Reader.WriteTo, which does not use buf.
	_, err = io.CopyBuffer(h, onlyReader{r}, buf[:])
	if err = errors.Join(err, r.Close()); err != nil {
		return Object{}, err
	}
	return Object{Key: key, Size: h.Size(), Digests: h.Digests()}, nil
}

// List yields the objects below a folder of the store, such as "artifact" or "tmp", or everything for "". It serves to
// find bytes without a row; a request must never wait for it. In a local folder it reads one directory at a time.
// The order is not defined. After an error the sequence ends.
//
// Errors: Invalid for a malformed folder; Unavailable.
func (s *Store) List(ctx context.Context, dir string) iter.Seq2[Attributes, error] {
	return func(yield func(Attributes, error) bool) {
		base, err := s.keys.prefix, s.keys.fault
		whole := base
		if dir != "" && err == nil {
			whole, err = s.keys.full("list", dir)
		}
		if err != nil {
			yield(Attributes{}, err)
			return
		}
		for a, err := range s.backend.list(ctx, slashed(whole)) {
			if err != nil {
				yield(Attributes{}, wrap(ctx, "list", whole, err))
				return
			}
			// A caller that removes objects without a row would remove the files of running writes.
			if strings.HasPrefix(a.Key, slashed(s.spool.folder)) {
				continue
			}
			a.Key = strings.TrimPrefix(a.Key, slashed(base))
			if !yield(a, nil) {
				return
			}
		}
	}
}

func slashed(dir string) string {
	if dir == "" {
		return ""
	}
	return dir + "/"
}
