package content

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// serveAbsent answers with a file whose bytes are at a remote.
func (s *fileServer) serveAbsent(to *answer, f *lookup.File) error {
	ctx := to.r.Context()
	sources, err := s.fetcher.sources(ctx, f)
	if err != nil {
		return err
	}
	if len(sources) > 0 {
		// The metadata of the remote artifact suffices for these answers, which must not cost a fetch.
		if expect := expectation(f, sources[0]); expect.Size != nil {
			if to.withoutBytes(expect.Digests.SHA256, *expect.Size) {
				return nil
			}
		}
	}
	unit, err := s.pulls.unitOf(ctx, f)
	if err != nil {
		return err
	}
	if unit != nil {
		return s.serveWithUnit(to, f, unit, sources)
	}
	flight, err := s.fetcher.join(ctx, f, sources)
	if err != nil {
		return err
	}
	if flight == nil {
		return s.serveArrived(to, f)
	}
	defer s.fetcher.release(flight)
	err = s.serveFlight(to, flight.spool)
	if errors.Is(err, errInStore) {
		return s.serveArrived(to, f)
	}
	return err
}

// serveWithUnit answers with a file of a unit whose files are fetched together.
func (s *fileServer) serveWithUnit(to *answer, f *lookup.File, unit models.RemoteUnit, sources []*lookup.RemoteSource,
) error {
	ctx := to.r.Context()
	fault := error(errNotFound)
	for _, source := range sources {
		remote, err := source.Remote(ctx, s.db)
		if err == nil {
			_, err = s.pulls.pull(ctx, remote, unit)
		}
		if err == nil {
			return s.serveArrived(to, f)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if fault = worse(fault, pullError(err)); errors.Is(err, pulperr.Invalid) || errors.Is(err, pulperr.Conflict) {
			fault = errors.Join(fault, source.MarkFailed(ctx, s.db))
		}
	}
	return fault
}

// serveArrived answers with a file that another client's fetch may have brought between the look at the database, that
// made f, and now.
func (s *fileServer) serveArrived(to *answer, f *lookup.File) error {
	now, err := lookup.FileByContentArtifact(to.r.Context(), s.db, f.ContentArtifactID)
	if err != nil {
		return err
	}
	if now.ArtifactID == nil {
		return errNotFound
	}
	if err := s.serveStored(to, now); !errors.Is(err, errBytesMissing) {
		return err
	}
	return errNotFound
}

// serveFlight answers with the bytes of a flight.
func (s *fileServer) serveFlight(to *answer, from *spool) error {
	start, err := from.started(to.r.Context())
	if err != nil {
		return err
	}
	// http.ServeContent needs a size, and a HEAD does not wait for the end of the file to get one.
	if to.r.Method == http.MethodHead && start.size < 0 {
		to.describe(start.sha256, start.size)
		to.w.WriteHeader(http.StatusOK)
		return nil
	}
	rd, err := from.open(to.r.Context(), s.held(to.r.Header.Get("Range"), start))
	if err != nil {
		return err
	}
	to.describe(rd.sha256, rd.size)
	body := &watched{ReadSeeker: rd}
	if rd.size >= 0 {
		serveContent(to.w, to.r, time.Time{}, rd.size, body)
	} else if _, err := io.Copy(to.w, body); err != nil {
		s.cut(to.r, err)
	}
	if body.fault != nil {
		s.cut(to.r, body.fault)
	}
	return nil
}

// held reports whether a range waits for the end of the file.
func (s *fileServer) held(ranges string, start spoolStart) bool {
	if ranges == "" {
		return false
	}
	// Ranges that count from the end, and the Content-Range of any other, need the size of the file.
	if start.size < 0 {
		return true
	}
	// A client that fetches in parts keeps each part, so a part waits until the digest of the file was found right. A
	// range that ends with the file needs no wait: its last block is withheld until then.
	return start.proven && start.size <= s.opts.MaxHeldRange && !toTheEnd(ranges)
}

// toTheEnd reports whether a Range header asks for one range that ends with the file.
func toTheEnd(ranges string) bool {
	_, span, _ := strings.Cut(ranges, "=")
	span = strings.TrimSpace(span)
	return !strings.Contains(span, ",") && (strings.HasSuffix(span, "-") || strings.HasPrefix(span, "-"))
}
