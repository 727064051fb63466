package content

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// checkpointName is the form of the folder of a checkpoint: the second in which it was made, in UTC.
const checkpointName = "20060102T150405Z"

// checkpoint is the folder of a checkpoint that a path leads to.
type checkpoint struct {
	found *lookup.Checkpoint
	made  string // the folder's own name
	named string // the name in the path
	rest  string // of the path, behind the folder's slash
	slash bool   // the path has that slash
}

// checkpointOf finds the checkpoint that a path below the base path belongs to: the newest one of the time in it.
func (s *site) checkpointOf(ctx context.Context, d *models.Distribution, p string) (*checkpoint, error) {
	if d.RepositoryID == nil {
		return nil, errNoSource
	}
	c := new(checkpoint)
	c.named, c.rest, c.slash = strings.Cut(p, "/")
	wanted, err := time.Parse(checkpointName, c.named)
	// time.Parse also accepts fractions of a second, by which one folder would have several names.
	if err != nil || wanted.Format(checkpointName) != c.named || wanted.After(time.Now()) {
		return nil, errNotFound
	}
	// The name has no fractions, so a checkpoint of any moment of that second belongs to the folder.
	c.found, err = lookup.CheckpointAt(ctx, s.db, *d.RepositoryID, wanted.Add(time.Second))
	if errors.Is(err, pulperr.NotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	c.made = c.found.Created.Format(checkpointName)
	return c, nil
}

// checkpointSource returns the checkpoint that a path below the base path belongs to.
func (s *site) checkpointSource(ctx context.Context, d *models.Distribution, p string) (*lookup.Source, error) {
	c, err := s.checkpointOf(ctx, d, p)
	if err != nil {
		return nil, err
	}
	return &c.found.Source, nil
}

// serveCheckpoint answers for a path of a distribution that has a folder for each checkpoint of its repository. The
// folder of a time between two checkpoints leads to the earlier one.
func (s *site) serveCheckpoint(w http.ResponseWriter, req *Request) error {
	r, row := req.HTTP, req.Distribution.AsDistribution()
	if req.Path == "" && row.RepositoryID != nil {
		return s.listings.checkpoints(w, r, row)
	}
	c, err := s.checkpointOf(r.Context(), row, req.Path)
	if err != nil {
		return err
	}
	if c.made != c.named {
		to := url.URL{Path: s.prefix + row.BasePath + "/" + c.made + "/" + c.rest, RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", to.String())
		writeStatus(w, http.StatusMovedPermanently, "")
		return nil
	}
	if !c.slash {
		redirectToFolder(w, r)
		return nil
	}
	return s.serveSource(w, req.of(&c.found.Source, c.rest), &c.found.Source)
}

// checkpoints lists the folders of a repository's checkpoints.
func (l *listings) checkpoints(w http.ResponseWriter, r *http.Request, d *models.Distribution) error {
	after, limit, err := l.page(r)
	if err != nil {
		return err
	}
	var from time.Time
	if after != "" {
		last, err := time.Parse(checkpointName, strings.TrimSuffix(after, "/"))
		if err != nil {
			return errBadPage
		}
		from = last.Add(time.Second)
	}
	page := &lookup.Listing{}
	for {
		// One more than a page has; several checkpoints may share a second and then a folder.
		times, err := lookup.CheckpointTimes(r.Context(), l.db, *d.RepositoryID, from, limit+1)
		if err != nil {
			return err
		}
		for _, t := range times {
			name := t.Format(checkpointName) + "/"
			n := len(page.Entries)
			switch {
			case n > 0 && page.Entries[n-1].Name == name:
			case n == limit:
				page.After = page.Entries[n-1].Name
				writeListing(w, r.URL.Path, true, page, limit)
				return nil
			default:
				page.Entries = append(page.Entries, lookup.Entry{Name: name})
			}
			from = t.Truncate(time.Second).Add(time.Second)
		}
		if len(times) <= limit {
			writeListing(w, r.URL.Path, true, page, limit)
			return nil
		}
	}
}
