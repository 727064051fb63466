package download

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Fetch downloads to a new file in dir, which must exist, and returns its path in the result. The name is random,
// ends in the last element of the URL's path if that is short enough, and belongs to the caller. The file is
// readable by its owner only and is not synced. On failure the file is removed.
//
// Errors: as [Client.Stream].
func (c *Client) Fetch(ctx context.Context, dir string, req *Request) (*Result, error) {
	// Part of the name comes from the URL. os.Root keeps the file below dir whatever that name is.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	defer root.Close()
	name := fileName(req.URL)
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("download: create in %q: %w", dir, err)
	}
	res, err := c.Stream(ctx, req, &fileSink{f})
	// A network file system may report a failed write only at close.
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("download: close %q: %w", name, closeErr)
	}
	if err != nil {
		return nil, errors.Join(err, root.Remove(name))
	}
	res.Path = filepath.Join(dir, name)
	return res, nil
}

// fileSink is a file that can be emptied.
type fileSink struct{ f *os.File }

func (s *fileSink) Write(p []byte) (int, error) { return s.f.Write(p) }

func (s *fileSink) Reset() error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// Otherwise the end of a longer first version would remain behind a shorter second one.
	return s.f.Truncate(0)
}

// fileName returns a random name that cannot be guessed, followed by the URL's last element in harmless characters.
func fileName(rawURL string) string {
	name := rand.Text()
	u, err := url.Parse(rawURL)
	if err != nil {
		return name
	}
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+-~", r) {
			return r
		}
		return '_'
	}, path.Base(u.Path))
	// File systems limit a name to 255 bytes, of which the random part and its dash take 27.
	if len(base) > 200 || strings.Trim(base, "._") == "" {
		return name
	}
	return name + "-" + base
}
