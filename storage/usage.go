package storage

import (
	"context"
	"fmt"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Usage says how full the file system of a local folder is, in bytes.
type Usage struct {
	Total, Used int64
	Free        int64 // for this user; Total - Used may be more
}

// Usage returns how full the storage is.
//
// Errors: Unsupported if it has no limit, as a bucket, or cannot tell; Unavailable.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	b, ok := s.backend.(interface {
		usage(ctx context.Context) (Usage, error)
	})
	if !ok {
		return Usage{}, fmt.Errorf("storage: usage: %w", pulperr.Unsupported)
	}
	u, err := b.usage(ctx)
	return u, wrap(ctx, "usage", "", err)
}
