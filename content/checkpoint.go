package content

import (
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

// serveCheckpoint answers for a path of a distribution that has a folder for each checkpoint of its repository. The
// folder of a time between two checkpoints leads to the earlier one.
func (s *site) serveCheckpoint(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, p string) error {
	row := d.AsDistribution()
	if row.RepositoryID == nil {
		return errNoSource
	}
	if p == "" {
		return s.listings.checkpoints(w, r, row)
	}
	name, rest, slash := strings.Cut(p, "/")
	wanted, err := time.Parse(checkpointName, name)
	// time.Parse also accepts fractions of a second, by which one folder would have several names.
	if err != nil || wanted.Format(checkpointName) != name || wanted.After(time.Now()) {
		return errNotFound
	}
	// The name has no fractions, so a checkpoint of any moment of that second belongs to the folder.
	found, err := lookup.CheckpointAt(r.Context(), s.db, *row.RepositoryID, wanted.Add(time.Second))
	if errors.Is(err, pulperr.NotFound) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	if made := found.Created.Format(checkpointName); made != name {
		to := url.URL{Path: s.prefix + row.BasePath + "/" + made + "/" + rest, RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", to.String())
		writeStatus(w, http.StatusMovedPermanently, "")
		return nil
	}
	if !slash {
		redirectToFolder(w, r)
		return nil
	}
	return s.serveSource(w, r, d, &found.Source, rest)
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
