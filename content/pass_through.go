package content

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
)

// serveAbsent answers with a file whose bytes are at a remote.
func (s *fileServer) serveAbsent(to *answer, f *lookup.File) error {
	ctx := to.r.Context()
	sources, err := s.fetcher.sources(ctx, f)
	if err != nil {
		return err
	}
	if len(sources) > 0 {
		if expect := expectation(f, sources[0]); expect.Size != nil {
			if to.withoutBytes(expect.Digests.SHA256, *expect.Size) {
				return nil
			}
		}
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

// serveFlight answers with what a flight brings.
func (s *fileServer) serveFlight(to *answer, from *spool) error {
	start, err := from.started(to.r.Context())
	if err != nil {
		return err
	}
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

// held reports whether a range waits for the end of the file: the ranges of a file of unknown size are known there, and
// the bytes of a small one are found right there. A range that ends with the file needs no wait, because the last block
// comes only when the whole was found right.
func (s *fileServer) held(ranges string, start spoolStart) bool {
	if ranges == "" {
		return false
	}
	if start.size < 0 {
		return true
	}
	return start.proven && start.size <= s.opts.MaxHeldRange && !toTheEnd(ranges)
}

// toTheEnd reports whether a Range header asks for one range that ends with the file.
func toTheEnd(ranges string) bool {
	_, span, _ := strings.Cut(ranges, "=")
	span = strings.TrimSpace(span)
	return !strings.Contains(span, ",") && (strings.HasSuffix(span, "-") || strings.HasPrefix(span, "-"))
}
