package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

const sizeHeader = "X-Pulp-Artifact-Size"

// fileServer answers with files, from the store or from a remote.
type fileServer struct {
	db       *models.DB
	store    *storage.Store
	fetcher  *fetcher
	pulls    *puller
	log      *slog.Logger
	opts     *Options
	redirect bool // clients get signed URLs of the store
}

// serveByID returns a handler that answers with the file which a content artifact is.
func (s *fileServer) serveByID(contentArtifactID uuid.UUID, name string, header http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := lookup.FileByContentArtifact(r.Context(), s.db, contentArtifactID)
		if err == nil {
			h := http.Header{"Content-Type": {s.contentType(name)}}
			for key, values := range header {
				h[http.CanonicalHeaderKey(key)] = values
			}
			err = s.serveFile(&answer{w: w, r: r, header: h, name: path.Base(name)}, file)
		}
		if err != nil {
			writeError(s.log, w, r, err)
		}
	})
}

// contentType returns the content type of a file by its name. The table is the same on every host.
func (s *fileServer) contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if t, ok := s.opts.ContentTypes[ext]; ok {
		return t
	}
	return builtinType(ext)
}

// serveFile answers with a file, from the store or from a remote.
func (s *fileServer) serveFile(to *answer, f *lookup.File) error {
	to.r = reasonableRange(to.r)
	if f.ArtifactID == nil {
		return s.serveAbsent(to, f)
	}
	err := s.serveStored(to, f)
	if errors.Is(err, errBytesMissing) {
		s.log.ErrorContext(to.r.Context(), "bytes of an artifact are missing in the store",
			"artifact", *f.ArtifactID, "sha256", f.SHA256, "err", err)
		// A remote may still have the file.
		return s.serveAbsent(to, f)
	}
	return err
}

var errBytesMissing = errors.New("content: the bytes are not there")

// serveStored answers with a file whose artifact is saved.
func (s *fileServer) serveStored(to *answer, f *lookup.File) error {
	key := storage.ArtifactKey(f.SHA256)
	if s.redirect {
		// A signed URL is valid for one method, and this one would be for GET.
		if to.r.Method == http.MethodHead {
			to.describe(f.SHA256, f.Size)
			serveContent(to.w, to.r, f.Stored, f.Size, &blank{size: f.Size})
			return nil
		}
		return s.redirectTo(to, key, f.Size)
	}
	reader, err := s.store.Open(to.r.Context(), key)
	if errors.Is(err, pulperr.NotFound) {
		return fmt.Errorf("%w: %w", errBytesMissing, err)
	}
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	defer reader.Close()
	// Damaged bytes must not be served under the digest of the artifact.
	if reader.Size() != f.Size {
		return fmt.Errorf("%w: %d bytes in place of %d", errBytesMissing, reader.Size(), f.Size)
	}
	to.describe(f.SHA256, f.Size)
	if file := reader.File(); file != nil {
		// net/http uses sendfile only for an *os.File.
		serveContent(to.w, to.r, f.Stored, f.Size, file)
		return nil
	}
	body := &watched{ReadSeeker: reader}
	serveContent(to.w, to.r, f.Stored, f.Size, body)
	if body.fault != nil {
		s.cut(to.r, body.fault)
	}
	return nil
}

// redirectTo sends the client to a signed URL of the store.
func (s *fileServer) redirectTo(to *answer, key string, size int64) error {
	o := &storage.SignOptions{Filename: to.name, ContentType: to.header.Get("Content-Type")}
	target, err := s.store.SignedURL(to.r.Context(), key, o)
	if errors.Is(err, pulperr.Unsupported) { // the store was opened without BeforeSign
		target, err = s.store.SignedURL(to.r.Context(), key, nil)
	}
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	to.w.Header().Set("Location", target)
	to.w.Header().Set(sizeHeader, strconv.FormatInt(size, 10))
	writeStatus(to.w, http.StatusFound, "")
	return nil
}

// cut ends the connection after a part of the bytes. It does not return.
func (s *fileServer) cut(r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.log.WarnContext(r.Context(), "answer was cut", "path", r.URL.Path, "err", err)
	} else {
		s.log.DebugContext(r.Context(), "client went away", "path", r.URL.Path, "err", context.Cause(r.Context()))
	}
	// net/http then closes the connection without the end of the body, so the client does not take the part for the
	// whole.
	panic(http.ErrAbortHandler)
}
